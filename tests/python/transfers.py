"""Import and export jobs, by Microsoft's service SDK, over the container whose URI is the argument.

Prints one line of JSON a step, which the test compares.
"""

import os
import sys
import time

from azure.iot.hub import IoTHubJobManager, IoTHubRegistryManager
from azure.iot.hub.models import Twin
from azure.iot.hub.protocol.models import JobProperties
from msrest.exceptions import HttpOperationError
from steps import show

CONTAINER = sys.argv[1]
string = os.environ["IOTHUB_CONNECTION_STRING"]
registry = IoTHubRegistryManager.from_connection_string(string)
jobs = IoTHubJobManager.from_connection_string(string)


def over(job):
    """Waits for the end of a job, twenty seconds at most."""
    for _ in range(1000):
        job = jobs.get_import_export_job(job.job_id)
        if job.status not in ["enqueued", "running"]:
            break
        time.sleep(0.02)
    return [job.type, job.status, job.progress, job.failure_reason]


for n in range(3):
    registry.create_device_with_sas(f"d{n}", "", "", "enabled")
    registry.update_twin(f"d{n}", Twin(tags={"n": n}))
keys = [registry.get_device(f"d{n}").authentication.symmetric_key.primary_key for n in range(3)]

export = jobs.create_import_export_job(JobProperties(type="export", output_blob_container_uri=CONTAINER))
show("asked", [export.type, export.status in ["enqueued", "running"]])
show("exported", over(export))
for n in range(3):
    registry.delete_device(f"d{n}")
show("deleted", len(registry.get_devices()))
imported = JobProperties(type="import", input_blob_container_uri=CONTAINER, output_blob_container_uri=CONTAINER)
show("imported", over(jobs.create_import_export_job(imported)))
show("tags", [registry.get_twin(f"d{n}").tags for n in range(3)])
show("keys kept", [registry.get_device(f"d{n}").authentication.symmetric_key.primary_key for n in range(3)] == keys)
show("jobs", [job.type for job in jobs.get_import_export_jobs()])

imported.input_blob_name = "none.txt"
show("no blob", over(jobs.create_import_export_job(imported)))
try:
    jobs.cancel_import_export_job("none")
    show("cancelled none", "done")
except HttpOperationError as error:
    show("cancelled none", [error.response.status_code, error.response.headers.get("iothub-errorcode")])
