"""Microsoft's service SDK with a token credential in place of a connection string.

Takes the hub's host name and two tokens as its arguments: one of a role that may read and write twins and nothing else, and
one of a role that may read all. Prints one line of JSON a step, which the test compares.
"""

import sys
import time

from azure.core.credentials import AccessToken
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import QuerySpecification, Twin, TwinProperties
from steps import refusal, show

HOST, TWIN_CONTRIBUTOR, DATA_READER = sys.argv[1:]


class Credential:
    """What azure-identity's credentials are to the SDK: something that has a token for a scope."""

    def __init__(self, token):
        self.token = token
        self.scopes = set()

    def get_token(self, *scopes, **_):
        self.scopes.update(scopes)
        return AccessToken(self.token, int(time.time()) + 3600)


credential = Credential(TWIN_CONTRIBUTOR)
registry = IoTHubRegistryManager.from_token_credential(HOST, credential)
twin = registry.get_twin("d1")
show("twin", twin.device_id)
patch = Twin(properties=TwinProperties(desired={"power_level": 1}))
show("updated", registry.update_twin("d1", patch, twin.etag).properties.desired["power_level"])
found = registry.query_iot_hub(QuerySpecification(query="SELECT * FROM devices"))
show("found", [twin.device_id for twin in found.items])
show("identity", refusal(lambda: registry.get_device("d1")))
show("scopes", sorted(credential.scopes))

reader = IoTHubRegistryManager.from_token_credential(HOST, Credential(DATA_READER))
show("reader's identity", reader.get_device("d1").device_id)
show("reader's write", refusal(lambda: reader.update_twin("d1", patch, "*")))

forged = IoTHubRegistryManager.from_token_credential(HOST, Credential(DATA_READER[:-4] + "AAAA"))
show("forged", refusal(lambda: forged.get_twin("d1")))
