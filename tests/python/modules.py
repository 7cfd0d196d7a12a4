"""Modules and bulk requests, by Microsoft's service SDK.

Prints one line of JSON a step, which the test compares.
"""

import base64
import os

from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import ExportImportDevice, QuerySpecification, Twin, TwinProperties
from azure.iot.hub.protocol.models import PropertyContainer
from steps import refused, show

registry = IoTHubRegistryManager.from_connection_string(os.environ["IOTHUB_CONNECTION_STRING"])
KEY_1 = base64.b64encode(bytes(range(32))).decode()
KEY_2 = base64.b64encode(bytes(range(32, 64))).decode()


registry.create_device_with_sas("gw", "", "", "enabled")
module = registry.create_module_with_sas("gw", "m#1", "IotEdge", KEY_1, KEY_2)
show("created", [module.device_id, module.module_id, module.managed_by, module.authentication.type])
show("keys kept", module.authentication.symmetric_key.primary_key == KEY_1)
refused("created twice", lambda: registry.create_module_with_sas("gw", "m#1", "", KEY_1, KEY_2))
x509 = registry.create_module_with_x509("gw", "x", "", "A" * 40, "B" * 40)
show("x509", x509.authentication.x509_thumbprint.secondary_thumbprint)
show("certificate authority", registry.create_module_with_certificate_authority("gw", "ca", "me").authentication.type)
updated = registry.update_module_with_sas("gw", "m#1", "me", module.etag, KEY_2, KEY_1)
show("updated", [updated.managed_by, updated.etag != module.etag, updated.authentication.symmetric_key.primary_key == KEY_2])
x509 = registry.update_module_with_x509("gw", "x", "me", x509.etag, "C" * 40, "D" * 40)
show("x509 updated", [x509.managed_by, x509.authentication.x509_thumbprint.primary_thumbprint])
ca = registry.update_module_with_certificate_authority("gw", "ca", "you", "*")
show("certificate authority updated", [ca.managed_by, ca.authentication.type])
refused("updated under a stale etag", lambda: registry.update_module_with_sas("gw", "m#1", "", module.etag, KEY_1, KEY_2))
show("get", registry.get_module("gw", "m#1").generation_id == module.generation_id)
show("listed", sorted(module.module_id for module in registry.get_modules("gw")))
refused("module of nobody", lambda: registry.get_module("nobody", "m"))
refused("no such module", lambda: registry.get_module("gw", "none"))

twin = registry.get_module_twin("gw", "m#1")
show("twin", [twin.device_id, twin.module_id, twin.properties.desired["$version"], twin.device_etag == updated.etag])
twin = registry.update_module_twin("gw", "m#1", Twin(tags={"a": 1}, properties=TwinProperties(desired={"b": 2})), twin.etag)
show("twin updated", [twin.tags, twin.properties.desired["b"], twin.properties.desired["$version"]])
refused("twin under a stale etag", lambda: registry.update_module_twin("gw", "m#1", Twin(tags={"a": 2}), "AAAAAAAAAAE="))
twin = registry.replace_module_twin("gw", "m#1", Twin(tags={"z": 1}, properties=TwinProperties(desired={})), twin.etag)
show("twin replaced", twin.tags)
refused("twin of no module", lambda: registry.get_module_twin("gw", "none"))
result = registry.query_iot_hub(QuerySpecification(query="SELECT * FROM devices.modules WHERE tags.z = 1"))
show("query", [result.type, [[twin.device_id, twin.module_id] for twin in result.items]])
registry.delete_module("gw", "x")
refused("deleted under a stale etag", lambda: registry.delete_module("gw", "m#1", module.etag))
registry.delete_module("gw", "m#1", updated.etag)
show("left", [module.module_id for module in registry.get_modules("gw")])


def bulk(step, devices):
    result = registry.bulk_create_or_update_devices(devices)
    errors = [[error.device_id, error.module_id, error.error_code] for error in result.errors]
    warnings = [[warning.device_id, warning.warning_code] for warning in result.warnings]
    show(step, [result.is_successful, errors, warnings])


bulk(
    "bulk create",
    [
        ExportImportDevice(id="b1", import_mode="create", status="enabled", tags={"site": "A"}),
        ExportImportDevice(id="b2", import_mode="create", status="disabled"),
        ExportImportDevice(id="b1", module_id="m", import_mode="create", status="enabled"),
    ],
)
bulk(
    "bulk with failures",
    [
        ExportImportDevice(id="b1", import_mode="create", status="enabled"),
        ExportImportDevice(id="b2", import_mode="updateTwinIfMatchETag", twin_etag="AAAAAAAAAAk=", tags={"x": 1}),
        ExportImportDevice(id="b3", import_mode="create", status="enabled", tags={"a.b": 1}),
        ExportImportDevice(id="b4", import_mode="delete"),
    ],
)
etag = registry.get_twin("b2").etag
desired = PropertyContainer(desired={"interval": 5})
bulk(
    "bulk of twins",
    [
        ExportImportDevice(id="b1", import_mode="updateTwin", status="disabled", tags={"ring": 1}, properties=desired),
        ExportImportDevice(id="b2", import_mode="updateTwinIfMatchETag", twin_etag=etag, tags={"ring": 2}),
    ],
)
twin = registry.get_twin("b1")
show("bulk merged", [twin.tags, twin.properties.desired["interval"], twin.status])
bulk("bulk delete", [ExportImportDevice(id=id, import_mode="delete") for id in ["b1", "b2", "b3"]])
show("devices", [device.device_id for device in registry.get_devices()])
