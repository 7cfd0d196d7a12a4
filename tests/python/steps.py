"""How the programs of this folder speak to the test that runs them: a line of JSON a step."""

import json
import time


def show(step, value):
    print(json.dumps({"step": step, "value": value}, sort_keys=True), flush=True)


def refusal(call):
    """Returns what the hub refuses a call with: the status and the error's code."""
    # Not earlier: it settles what HTTPS trusts, and some programs have a say in that.
    from msrest.exceptions import HttpOperationError

    try:
        call()
        return "done"
    except HttpOperationError as error:
        return [error.response.status_code, error.response.headers.get("iothub-errorcode")]


def refused(step, call):
    show(step, refusal(call))


def eventually(wanted, ask, within=30):
    """Asks until the answer is what is wanted, and returns the last one."""
    deadline = time.monotonic() + within
    while (found := ask()) != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    return found
