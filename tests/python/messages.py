"""Messages from the cloud to a device, by Microsoft's service SDK over AMQP and its device SDK over MQTT.

Takes the hub's address as devices reach it and the way to send as its arguments: amqp or websocket. DEVICE_CONNECTION_STRING
is the device's, IOTHUB_CONNECTION_STRING the owner's, DEVICE_POLICY_CONNECTION_STRING that of a policy which may not send,
SERVICE_TOKEN a signature by the policy service, DEVICE_CA_FILE what all trust. Prints one line of JSON a step, which the
test compares.
"""

import datetime
import json
import os
import queue
import sys

import certifi

# The AMQP library looks nowhere else for what to trust.
certifi.where = lambda: os.environ["DEVICE_CA_FILE"]

import uamqp  # noqa: E402
from azure.iot.device import IoTHubDeviceClient  # noqa: E402
from azure.iot.hub import IoTHubRegistryManager  # noqa: E402
from steps import eventually, show  # noqa: E402

HOST, WAY = sys.argv[1:3]
DEVICE_ID = "myDeviceId"
TIMEOUT = 30


def read(message):
    return [
        message.data.decode(),
        message.message_id,
        message.correlation_id,
        message.content_type,
        message.content_encoding,
        message.ack,
        dict(sorted(message.custom_properties.items())),
    ]


transport = uamqp.TransportType.AmqpOverWebsocket if WAY == "websocket" else uamqp.TransportType.Amqp
registry = IoTHubRegistryManager.from_connection_string(os.environ["IOTHUB_CONNECTION_STRING"], transport)
waiting = lambda: registry.get_device(DEVICE_ID).cloud_to_device_message_count

registry.send_c2d_message(DEVICE_ID, "while it is away", {"messageId": "m-1"})
show("waiting", waiting())

with open(os.environ["DEVICE_CA_FILE"]) as file:
    device = IoTHubDeviceClient.create_from_connection_string(
        os.environ["DEVICE_CONNECTION_STRING"], server_verification_cert=file.read()
    )
messages = queue.Queue()
device.connect()
device.on_message_received = messages.put
show("received", read(messages.get(timeout=TIMEOUT)))

registry.send_c2d_message(
    DEVICE_ID,
    '{"speed": 2}',
    {
        "messageId": "m/2",
        "correlationId": "c 2",
        "contentType": "application/json",
        "contentEncoding": "utf-8",
        "iothub-ack": "full",
        "line": "a&b=c/d é",
        "empty": "",
    },
)
show("with properties", read(messages.get(timeout=TIMEOUT)))
show("left", eventually(0, waiting))

# What came while it was away, and what it did not live to see.
device.disconnect()
expiry = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(milliseconds=500)
registry.send_c2d_message(DEVICE_ID, "too late", {"expiryTimeUtc": int(expiry.timestamp() * 1000)})
registry.send_c2d_message(DEVICE_ID, "in time")
show("expired", eventually(1, waiting))
device.connect()
show("after it came back", messages.get(timeout=TIMEOUT).data.decode())
device.shutdown()


def refusal(send):
    try:
        return send() or "sent"
    except Exception as error:
        return type(error).__name__ + ": " + str(error).splitlines()[0].split(";")[0]


for _ in range(50):
    registry.send_c2d_message(DEVICE_ID, "waits")
show("one too many", refusal(lambda: registry.send_c2d_message(DEVICE_ID, "does not fit")))
purge = registry.protocol.cloud_to_device_messages.purge_cloud_to_device_message_queue
show("purged", [purge(DEVICE_ID).total_messages_purged, purge(DEVICE_ID).total_messages_purged, waiting()])
show("to nobody", refusal(lambda: registry.send_c2d_message("nobody", "")))
show("too large", refusal(lambda: registry.send_c2d_message(DEVICE_ID, "x" * 70_000)))

# The SDK itself has no way to receive feedback; the documentation shows its library's own.
feedback = uamqp.ReceiveClient(
    f"amqps://{HOST}/messages/serviceBound/feedback",
    auth=uamqp.authentication.SASLPlain(HOST, f"service@sas.root.{HOST}", os.environ["SERVICE_TOKEN"]),
)
batch = feedback.receive_message_batch(max_batch_size=1, timeout=TIMEOUT * 1000)
for message in batch:
    body = json.loads(b"".join(message.get_data()))
    show("feedback", [[entry["originalMessageId"], entry["statusCode"], entry["deviceId"]] for entry in body])
    show("its type", message.properties.content_type.decode())
    message.accept()
feedback.close()

# A policy that may not send.
strangers = IoTHubRegistryManager.from_connection_string(os.environ["DEVICE_POLICY_CONNECTION_STRING"], transport)
show("by another policy", refusal(lambda: strangers.send_c2d_message(DEVICE_ID, "")))
strangers.amqp_svc_client.disconnect_sync()
registry.amqp_svc_client.disconnect_sync()
