"""The calls of Microsoft's service SDK that the embedded hub claims, one after another.

Prints one line of JSON a step, which the test compares.
"""

import base64
import os

from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import QuerySpecification, Twin, TwinProperties
from msrest.exceptions import HttpOperationError
from steps import show

registry = IoTHubRegistryManager.from_connection_string(os.environ["IOTHUB_CONNECTION_STRING"])
KEY_1 = base64.b64encode(bytes(range(32))).decode()
KEY_2 = base64.b64encode(bytes(range(32, 64))).decode()


def refused(step, call):
    try:
        call()
        show(step, "done")
    except HttpOperationError as error:
        body = error.response.json()
        show(step, [error.response.status_code, error.response.headers.get("iothub-errorcode"), body["Message"].split(";")[0]])


device = registry.create_device_with_sas("sdk-1", KEY_1, KEY_2, "enabled")
show("created", [device.device_id, device.status, device.authentication.type, device.connection_state])
show("keys kept", device.authentication.symmetric_key.primary_key == KEY_1)
refused("created twice", lambda: registry.create_device_with_sas("sdk-1", KEY_1, KEY_2, "enabled"))

generated = registry.create_device_with_sas("sdk-2", "", "", "disabled", status_reason="spare part")
show("keys generated", len(base64.b64decode(generated.authentication.symmetric_key.primary_key)))
show("disabled", [generated.status, generated.status_reason])

thumbprint = "A" * 40
x509 = registry.create_device_with_x509("sdk#3", thumbprint, thumbprint, "enabled")
show("x509", [x509.device_id, x509.authentication.type, x509.authentication.x509_thumbprint.primary_thumbprint])
ca = registry.create_device_with_certificate_authority("sdk+4 is not an id".replace(" ", "-"), "enabled")
show("certificate authority", [ca.device_id, ca.authentication.type])

device = registry.get_device("sdk-1")
updated = registry.update_device_with_sas("sdk-1", device.etag, KEY_2, KEY_1, "disabled", status_reason="repair")
show("updated", [updated.status, updated.status_reason, updated.etag != device.etag])
x509 = registry.update_device_with_x509("sdk#3", x509.etag, "C" * 40, "D" * 40, "disabled")
show("x509 updated", [x509.status, x509.authentication.x509_thumbprint.primary_thumbprint])
ca = registry.update_device_with_certificate_authority(ca.device_id, ca.etag, "enabled", status_reason="checked")
show("certificate authority updated", [ca.authentication.type, ca.status_reason])
registry.update_device_with_x509("sdk#3", x509.etag, thumbprint, thumbprint, "enabled")
refused("updated under a stale etag", lambda: registry.update_device_with_sas("sdk-1", device.etag, KEY_1, KEY_2, "enabled"))
refused("get of nobody", lambda: registry.get_device("nobody"))
refused("twin of nobody", lambda: registry.get_twin("nobody"))
show("listed", sorted(device.device_id for device in registry.get_devices(10)))
show("listed two", len(registry.get_devices(2)))

statistics = registry.get_device_registry_statistics()
show(
    "statistics",
    [statistics.total_device_count, statistics.enabled_device_count, statistics.disabled_device_count],
)
show("connected", registry.get_service_statistics().connected_device_count)

twin = registry.update_twin("sdk#3", Twin(tags={"a": 1, "b": {"c": 2}}, properties=TwinProperties(desired={"x": [1, 2]})))
show("merged", [twin.tags, twin.properties.desired["x"]])
twin = registry.update_twin("sdk#3", Twin(tags={"b": {"c": None}}), twin.etag)
show("null removes", twin.tags)
twin = registry.replace_twin("sdk#3", Twin(tags={"z": True}, properties=TwinProperties(desired={"y": "é"})), twin.etag)
show("replaced", [twin.tags, {key: value for key, value in twin.properties.desired.items() if key[0] != "$"}])
refused("key with a dot", lambda: registry.update_twin("sdk#3", Twin(tags={"a.b": 1})))
refused("text too long", lambda: registry.update_twin("sdk#3", Twin(tags={"a": "x" * 4097})))


def pages(query, size):
    token, found = None, []
    while True:
        result = registry.query_iot_hub(QuerySpecification(query=query), token, size)
        found.append([result.type, len(result.items)])
        token = result.continuation_token
        if not token:
            return found


show("pages", pages("SELECT * FROM devices", 3))
result = registry.query_iot_hub(QuerySpecification(query="SELECT COUNT() AS n FROM devices WHERE status = 'disabled'"))
show("count", [result.type, [item.additional_properties for item in result.items]])
refused("no query", lambda: registry.query_iot_hub(QuerySpecification(query="SELECT FROM")))

refused("deleted under a stale etag", lambda: registry.delete_device("sdk-1", device.etag))
registry.delete_device("sdk-1", updated.etag)
registry.delete_device("sdk-2")
show("left", sorted(device.device_id for device in registry.get_devices()))
