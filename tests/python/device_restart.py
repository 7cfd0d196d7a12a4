"""A device that lives through the death of its hub: Microsoft's device SDK connects again, and does not subscribe again.

Arguments and environment as in device.py. The test kills the hub when it reads "ready", starts it again, and writes to the
twin when the device is back.
"""

import os
import queue

from azure.iot.device import IoTHubDeviceClient
from steps import show


with open(os.environ["DEVICE_CA_FILE"]) as file:
    device = IoTHubDeviceClient.create_from_connection_string(
        os.environ["DEVICE_CONNECTION_STRING"], server_verification_cert=file.read(), connection_retry_interval=1
    )
device.on_background_exception = lambda error: None
patches = queue.Queue()
device.connect()
device.on_twin_desired_properties_patch_received = patches.put
device.get_twin()
for n in range(10):
    device.patch_twin_reported_properties({"n": n})
show("ready", True)
# When it is back, the SDK may tell the whole of the desired properties first, on its own.
while "after" not in (patch := patches.get(timeout=60)):
    pass
show("patch", patch)
show("twin", device.get_twin()["reported"])
device.shutdown()
