"""A plan as it is written with Microsoft's service SDK for Python: reads the twins, and counts those that differ.

Takes the connection string from IOTHUB_CONNECTION_STRING. Arguments: what is declared (JSON), the way (get or query), and how
many threads, or how many rows a page.
"""

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import QuerySpecification

DECLARED = json.load(open(sys.argv[1]))
WAY, NUMBER = sys.argv[2], int(sys.argv[3])
OWN = threading.local()


def connect():
    return IoTHubRegistryManager(os.environ["IOTHUB_CONNECTION_STRING"])


def holds(declared, live):
    if isinstance(declared, dict) and isinstance(live, dict):
        return all(key in live and holds(value, live[key]) for key, value in declared.items())
    return declared == live


def differs(twin):
    return not holds(DECLARED["tags"], twin.tags) or not holds(DECLARED["desired"], twin.properties.desired)


def get(device):
    # A thread has its own connection: sharing one is slower.
    if not hasattr(OWN, "registry"):
        OWN.registry = connect()
    return differs(OWN.registry.get_twin(device))


def query():
    registry, ids, found, token = connect(), set(DECLARED["ids"]), 0, None
    while True:
        page = registry.query_iot_hub(QuerySpecification(query="SELECT * FROM devices"), token, NUMBER)
        found += sum(twin.device_id in ids and differs(twin) for twin in page.items)
        token = page.continuation_token
        if not token:
            return found


if WAY == "query":
    print(query())
elif NUMBER == 1:
    print(sum(map(get, DECLARED["ids"])))
else:
    with ThreadPoolExecutor(NUMBER) as pool:
        print(sum(pool.map(get, DECLARED["ids"])))
