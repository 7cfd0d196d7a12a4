"""A module of a device, by Microsoft's device SDK, with its service SDK on the other side.

Takes the hub's address as devices reach it and the way to connect as its arguments, and is only run for one way: sas.
DEVICE_CONNECTION_STRING is the device's, IOTHUB_CONNECTION_STRING the owner's, DEVICE_CA_FILE what the module trusts. Prints
one line of JSON a step, which the test compares.
"""

import os
import queue

from azure.iot.device import IoTHubModuleClient, MethodResponse
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, Twin, TwinProperties
from msrest.exceptions import HttpOperationError
from steps import eventually, show

DEVICE_ID = "myDeviceId"
MODULE_ID = "press"
TIMEOUT = 30


registry = IoTHubRegistryManager.from_connection_string(os.environ["IOTHUB_CONNECTION_STRING"])
created = registry.create_module_with_sas(DEVICE_ID, MODULE_ID, "", "", "")
host, device, _ = os.environ["DEVICE_CONNECTION_STRING"].split(";", 2)
key = created.authentication.symmetric_key.primary_key
with open(os.environ["DEVICE_CA_FILE"]) as file:
    module = IoTHubModuleClient.create_from_connection_string(
        f"{host};{device};ModuleId={MODULE_ID};SharedAccessKey={key}", server_verification_cert=file.read()
    )
module.on_background_exception = lambda error: show("background exception", repr(error))

module.connect()
states = lambda: [
    registry.get_module(DEVICE_ID, MODULE_ID).connection_state,
    registry.get_device(DEVICE_ID).connection_state,
]
show("connected", states())
show("twin", module.get_twin())
module.patch_twin_reported_properties({"state": "idle"})
show("reported", module.get_twin()["reported"])

patches = queue.Queue()
module.on_twin_desired_properties_patch_received = patches.put
registry.update_module_twin(DEVICE_ID, MODULE_ID, Twin(properties=TwinProperties(desired={"speed": 2})), "*")
show("patch", patches.get(timeout=TIMEOUT))
registry.update_twin(DEVICE_ID, Twin(properties=TwinProperties(desired={"not": "for the module"})), "*")


def answer(request):
    module.send_method_response(MethodResponse.create_from_method_request(request, 200, {"called": request.name}))


module.on_method_request_received = answer
call = CloudToDeviceMethod(method_name="home", payload={}, response_timeout_in_seconds=TIMEOUT)
result = registry.invoke_device_module_method(DEVICE_ID, MODULE_ID, call)
show("method", [result.status, result.payload])
try:
    registry.invoke_device_method(DEVICE_ID, call)
    show("method of the device", "called")
except HttpOperationError as error:
    show("method of the device", error.response.status_code)

module.send_message("telemetry")
show("telemetry", "acknowledged")
module.shutdown()
show("shut down", eventually(["Disconnected", "Disconnected"], states))
show("patches left", patches.qsize())

purged = registry.protocol.cloud_to_device_messages.purge_cloud_to_device_message_queue(DEVICE_ID)
show("purged", [purged.device_id, purged.total_messages_purged])
