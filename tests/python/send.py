"""Sends messages to a device by Microsoft's service SDK, one after the other, and prints a line of JSON for each that the hub has
taken.

Takes the device's id, how many, and the properties as JSON. IOTHUB_CONNECTION_STRING is the owner's, ENTRA_TOKEN a token to be
used in its place, if there is one, and REQUESTS_CA_BUNDLE what is trusted.
"""

import json
import os
import sys
import time

import certifi

# The AMQP library looks nowhere else for what to trust.
certifi.where = lambda: os.environ["REQUESTS_CA_BUNDLE"]

from azure.core.credentials import AccessToken  # noqa: E402
from azure.iot.hub import IoTHubRegistryManager  # noqa: E402

device, count, properties = sys.argv[1:4]
connection_string = os.environ["IOTHUB_CONNECTION_STRING"]


class Credential:
    """What azure-identity's credentials are to the SDK."""

    def get_token(self, *_scopes, **_more):
        return AccessToken(os.environ["ENTRA_TOKEN"], int(time.time()) + 3600)


if "ENTRA_TOKEN" in os.environ:
    host = connection_string.split(";", 1)[0].removeprefix("HostName=")
    registry = IoTHubRegistryManager.from_token_credential(host, Credential())
else:
    registry = IoTHubRegistryManager.from_connection_string(connection_string)
for number in range(int(count)):
    registry.send_c2d_message(device, json.dumps({"n": number}), json.loads(properties))
    print(json.dumps({"step": "sent", "value": number}), flush=True)
registry.amqp_svc_client.disconnect_sync()
