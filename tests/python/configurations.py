"""Automatic device configurations, by Microsoft's service SDK. The hub evaluates them every few milliseconds.

Prints one line of JSON a step, which the test compares.
"""

import os
import time

from azure.iot.hub import DigitalTwinClient, IoTHubConfigurationManager, IoTHubRegistryManager
from azure.iot.hub.models import Configuration, ConfigurationContent, ConfigurationMetrics, Twin, TwinProperties
from azure.iot.hub.models import ConfigurationQueriesTestInput
from steps import refused, show

string = os.environ["IOTHUB_CONNECTION_STRING"]
registry = IoTHubRegistryManager.from_connection_string(string)
configurations = IoTHubConfigurationManager.from_connection_string(string)


def until(step, look, wanted):
    """Looks until it sees what it wants, for ten seconds at most, and shows what it saw last."""
    for _ in range(500):
        seen = look()
        if seen == wanted:
            break
        time.sleep(0.02)
    show(step, seen)


for ring in [1, 2]:
    registry.create_device_with_sas(f"d{ring}", "", "", "enabled")
    registry.update_twin(f"d{ring}", Twin(tags={"ring": ring}))


def channel(device):
    return registry.get_twin(device).properties.desired.get("fw", {}).get("channel")


body = Configuration(
    id="beta",
    labels={"team": "fw"},
    content=ConfigurationContent(device_content={"properties.desired.fw.channel": "beta"}),
    target_condition="tags.ring = 1",
    priority=10,
    metrics=ConfigurationMetrics(queries={"on beta": "SELECT deviceId FROM devices WHERE properties.desired.fw.channel = 'beta'"}),
)
made = configurations.create_configuration(body)
show("created", [made.id, made.etag, made.priority, made.labels, made.schema_version])
refused("created twice", lambda: configurations.create_configuration(body))
until("applied", lambda: [channel("d1"), channel("d2")], ["beta", None])
until("status", lambda: registry.get_twin("d1").additional_properties.get("configurations"), {"beta": {"status": "Applied"}})


def metrics():
    seen = configurations.get_configuration("beta")
    return [seen.system_metrics.results, seen.metrics.results]


until("metrics", metrics, [{"targetedCount": 1, "appliedCount": 1}, {"on beta": 1}])
registry.update_twin("d1", Twin(properties=TwinProperties(desired={"fw": {"channel": "mine"}})))
until("rewritten", lambda: channel("d1"), "beta")

configurations.create_configuration(
    Configuration(
        id="stable",
        content=ConfigurationContent(device_content={"properties.desired.fw": {"channel": "stable"}}),
        target_condition="*",
        priority=20,
    )
)
until("a higher priority", lambda: [channel("d1"), channel("d2")], ["stable", "stable"])
show("listed", sorted(one.id for one in configurations.get_configurations(10)))

body.target_condition = "tags.ring = 2"
body.content = ConfigurationContent(device_content={"properties.desired.other": 1})
refused("updated without quotes", lambda: configurations.update_configuration(body, made.etag))
updated = configurations.update_configuration(body, f'"{made.etag}"')
show("updated", [updated.etag, updated.target_condition, updated.content.device_content])
refused("updated under a stale etag", lambda: configurations.update_configuration(body, f'"{made.etag}"'))

bad = Configuration(id="bad", content=ConfigurationContent(device_content={"tags.a": 1}), target_condition="*")
refused("tags as content", lambda: configurations.create_configuration(bad))
bad.content = ConfigurationContent(device_content={"properties.desired.a": 1})
bad.target_condition = "status = 'enabled'"
refused("a bad target", lambda: configurations.create_configuration(bad))
tested = configurations.test_configuration_queries(
    ConfigurationQueriesTestInput(target_condition="*", custom_metric_queries={"good": "SELECT * FROM devices", "bad": "SELECT"})
)
show("tested", [tested.target_condition_error is not None, sorted(tested.custom_metric_query_errors)])

refused("get of none", lambda: configurations.get_configuration("none"))
configurations.delete_configuration("stable")
configurations.delete_configuration("beta", f'"{updated.etag}"')
until("left", lambda: registry.get_twin("d1").additional_properties.get("configurations"), None)
show("what was written stays", channel("d1"))
show("none left", configurations.get_configurations())

registry.create_device_with_sas("gw", "", "", "enabled", iot_edge=True)
content = ConfigurationContent(
    modules_content={
        "$edgeAgent": {"properties.desired": {"schemaVersion": "1.1"}},
        "probe": {"properties.desired": {"every": 5}},
    }
)
configurations.apply_configuration_on_edge_device("gw", content)
show("content applied", registry.get_module_twin("gw", "probe").properties.desired["every"])
show("modules made", sorted(module.module_id for module in registry.get_modules("gw")))
refused("content on no edge device", lambda: configurations.apply_configuration_on_edge_device("d1", content))

digital = DigitalTwinClient.from_connection_string(string)
digital.update_digital_twin("gw", [{"op": "add", "path": "/speed", "value": 3}])
show("digital twin", digital.get_digital_twin("gw"))
