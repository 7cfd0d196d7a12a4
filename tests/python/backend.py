"""The back-end side of "Get started with device twins", by Microsoft's service SDK.

Takes the connection string from IOTHUB_CONNECTION_STRING and the device's id as its argument, and knows nothing of the hub
that it talks to. Prints one line of JSON a step, which the test compares.
"""

import os
import sys

from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import QuerySpecification, Twin, TwinProperties
from msrest.exceptions import HttpOperationError
from steps import show

DEVICE_ID = sys.argv[1]


def plain(section):
    return {key: value for key, value in section.items() if not key.startswith("$")}


def find(registry, query):
    found, token = [], None
    while True:
        result = registry.query_iot_hub(QuerySpecification(query=query), token, 100)
        found += [twin.device_id for twin in result.items]
        token = result.continuation_token
        if not token:
            return sorted(found)


registry = IoTHubRegistryManager(os.environ["IOTHUB_CONNECTION_STRING"])

twin = registry.get_twin(DEVICE_ID)
stale_etag = twin.etag
show("fresh", {"tags": twin.tags, "desired": plain(twin.properties.desired), "version": twin.properties.desired["$version"]})

patch = Twin(
    tags={"location": {"region": "US", "plant": "Redmond43"}},
    properties=TwinProperties(desired={"power_level": 1}),
)
updated = registry.update_twin(DEVICE_ID, patch, twin.etag)
show(
    "updated",
    {
        "tags": updated.tags,
        "desired": plain(updated.properties.desired),
        "version": updated.properties.desired["$version"],
        "etag moved": updated.etag != stale_etag,
    },
)

show("plant", find(registry, "SELECT * FROM devices WHERE tags.location.plant = 'Redmond43'"))
show(
    "plant on cellular",
    find(
        registry,
        "SELECT * FROM devices WHERE tags.location.plant = 'Redmond43' AND properties.reported.connectivity = 'cellular'",
    ),
)

try:
    registry.update_twin(DEVICE_ID, Twin(tags={"location": {"region": "EU"}}), stale_etag)
    show("stale etag", "written")
except HttpOperationError as error:
    show("stale etag", error.response.status_code)

again = registry.get_twin(DEVICE_ID)
show("after the stale write", again.tags)
