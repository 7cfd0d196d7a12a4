"""The device side of "Get started with device twins", by Microsoft's device SDK, with its service SDK on the other side.

Takes the hub's address as devices reach it and the way to connect as its arguments: sas, module-client, websocket or x509.
DEVICE_CONNECTION_STRING is the device's, IOTHUB_CONNECTION_STRING the owner's, DEVICE_CA_FILE what the device trusts. Prints
one line of JSON a step, which the test compares.
"""

import json
import os
import queue
import sys

from azure.iot.device import X509, IoTHubDeviceClient, IoTHubModuleClient, MethodResponse
from azure.iot.device.exceptions import ClientError
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, QuerySpecification, Twin, TwinProperties
from msrest.exceptions import HttpOperationError
from steps import eventually, show

HOST, WAY = sys.argv[1:3]
DEVICE_ID = "myDeviceId"
TIMEOUT = 30


def plain(section):
    return {key: value for key, value in section.items() if not key.startswith("$")}


def client():
    with open(os.environ["DEVICE_CA_FILE"]) as file:
        more = {"server_verification_cert": file.read()}
    if WAY == "x509":
        certificate = X509(os.environ["DEVICE_CERTIFICATE"], os.environ["DEVICE_KEY"])
        return IoTHubDeviceClient.create_from_x509_certificate(certificate, HOST, DEVICE_ID, **more)
    kind = IoTHubModuleClient if WAY == "module-client" else IoTHubDeviceClient
    if WAY == "websocket":
        more["websockets"] = True
    return kind.create_from_connection_string(os.environ["DEVICE_CONNECTION_STRING"], **more)


registry = IoTHubRegistryManager.from_connection_string(os.environ["IOTHUB_CONNECTION_STRING"])
device = client()
device.on_background_exception = lambda error: show("background exception", repr(error))

device.connect()
show("connected", [device.connected, registry.get_device(DEVICE_ID).connection_state])
show("twin", device.get_twin())

device.patch_twin_reported_properties({"connectivity": "cellular"})
show("reported", device.get_twin()["reported"])
query = QuerySpecification(query="SELECT * FROM devices WHERE properties.reported.connectivity = 'cellular'")
show("on cellular", [twin.device_id for twin in registry.query_iot_hub(query).items])

patches = queue.Queue()
device.on_twin_desired_properties_patch_received = patches.put
twin = registry.get_twin(DEVICE_ID)
show("seen by the back end", [twin.connection_state, plain(twin.properties.reported)])
registry.update_twin(DEVICE_ID, Twin(properties=TwinProperties(desired={"power": {"level": 1}, "mode": "eco"})), twin.etag)
show("patch", patches.get(timeout=TIMEOUT))
registry.update_twin(DEVICE_ID, Twin(properties=TwinProperties(desired={"mode": None})), "*")
show("patch that removes", patches.get(timeout=TIMEOUT))
registry.replace_twin(DEVICE_ID, Twin(properties=TwinProperties(desired={"speed": 2})), "*")
show("replacement", patches.get(timeout=TIMEOUT))


def answer(request):
    payload = {"called": request.name, "with": request.payload}
    device.send_method_response(MethodResponse.create_from_method_request(request, 207, payload))


device.on_method_request_received = answer
call = CloudToDeviceMethod(method_name="reboot", payload={"delay": 5}, response_timeout_in_seconds=TIMEOUT)
result = registry.invoke_device_method(DEVICE_ID, call)
show("method", [result.status, result.payload])

device.send_message("telemetry")
show("telemetry", "acknowledged")

try:
    device.patch_twin_reported_properties({"a key with spaces": 1})
    show("bad patch", "taken")
except ClientError as error:
    show("bad patch", str(error.__cause__))

show("connected devices", registry.get_service_statistics().connected_device_count)

# The SDK does not subscribe again after it connects again: the hub has kept what it asked for.
device.disconnect()
show("disconnected", eventually("Disconnected", lambda: registry.get_device(DEVICE_ID).connection_state))
device.connect()
eventually("Connected", lambda: registry.get_device(DEVICE_ID).connection_state)
while not patches.empty():
    patches.get()
registry.update_twin(DEVICE_ID, Twin(properties=TwinProperties(desired={"after": "reconnect"})), "*")
show("patch after it came back", patches.get(timeout=TIMEOUT))
show("method after it came back", registry.invoke_device_method(DEVICE_ID, call).status)

device.shutdown()
show("shut down", eventually("Disconnected", lambda: registry.get_device(DEVICE_ID).connection_state))
try:
    registry.invoke_device_method(DEVICE_ID, call)
    show("method without a device", "called")
except HttpOperationError as error:
    inner = json.loads(error.response.json()["Message"])
    show("method without a device", [error.response.status_code, inner["errorCode"]])
