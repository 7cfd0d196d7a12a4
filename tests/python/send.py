"""Sends messages to a device by Microsoft's service SDK, one after the other, and prints a line of JSON for each that the hub has
taken.

Takes the device's id, how many, and the properties as JSON. IOTHUB_CONNECTION_STRING is the owner's, REQUESTS_CA_BUNDLE what is
trusted.
"""

import json
import os
import sys

import certifi

# The AMQP library looks nowhere else for what to trust.
certifi.where = lambda: os.environ["REQUESTS_CA_BUNDLE"]

from azure.iot.hub import IoTHubRegistryManager  # noqa: E402

device, count, properties = sys.argv[1:4]
registry = IoTHubRegistryManager.from_connection_string(os.environ["IOTHUB_CONNECTION_STRING"])
for number in range(int(count)):
    registry.send_c2d_message(device, json.dumps({"n": number}), json.loads(properties))
    print(json.dumps({"step": "sent", "value": number}), flush=True)
registry.amqp_svc_client.disconnect_sync()
