"""A device whose tokens are short, so that Microsoft's device SDK renews them every few seconds by connecting again; and one
whose key is wrong.

Arguments and environment as in device.py.
"""

import os
import queue
import time

from azure.iot.device import IoTHubDeviceClient
from azure.iot.device.exceptions import CredentialError
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import Twin, TwinProperties
from steps import show

DEVICE_ID = "myDeviceId"
TIMEOUT = 30


with open(os.environ["DEVICE_CA_FILE"]) as file:
    ca = file.read()
string = os.environ["DEVICE_CONNECTION_STRING"]
registry = IoTHubRegistryManager.from_connection_string(os.environ["IOTHUB_CONNECTION_STRING"])

# The SDK renews two minutes before the end.
device = IoTHubDeviceClient.create_from_connection_string(string, server_verification_cert=ca, sastoken_ttl=122)
patches = queue.Queue()
device.on_twin_desired_properties_patch_received = patches.put
device.connect()


def connected_since():
    return registry.get_device(DEVICE_ID).connection_state_updated_time


renewals, since = 0, connected_since()
deadline = time.monotonic() + TIMEOUT
while renewals < 2 and time.monotonic() < deadline:
    time.sleep(0.05)
    if registry.get_device(DEVICE_ID).connection_state == "Connected" and connected_since() != since:
        renewals, since = renewals + 1, connected_since()
show("renewals", renewals)
while not patches.empty():
    patches.get()
registry.update_twin(DEVICE_ID, Twin(properties=TwinProperties(desired={"n": 1})), "*")
# Where it is connecting just then, the SDK asks for the whole on its own.
show("patch", patches.get(timeout=TIMEOUT))
device.shutdown()

head, key = string.rsplit("=", 1)[0].rsplit(";SharedAccessKey=", 1)
wrong = IoTHubDeviceClient.create_from_connection_string(
    head + ";SharedAccessKey=" + "A" * 43 + "=", server_verification_cert=ca, connection_retry=False
)
wrong.on_background_exception = lambda error: None
try:
    wrong.connect()
    show("wrong key", "connected")
except CredentialError as error:
    show("wrong key", str(error))
wrong.shutdown()
