"""Scheduled jobs, by Microsoft's service SDK.

Prints one line of JSON a step, which the test compares.
"""

import datetime
import os
import time

from azure.iot.hub import IoTHubJobManager, IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, JobRequest, QuerySpecification, Twin, TwinProperties
from msrest.exceptions import DeserializationError
from steps import refused, show

string = os.environ["IOTHUB_CONNECTION_STRING"]
registry = IoTHubRegistryManager.from_connection_string(string)
jobs = IoTHubJobManager.from_connection_string(string)


def over(id):
    """Waits for the end of a job, ten seconds at most."""
    for _ in range(500):
        job = jobs.get_scheduled_job(id)
        if job.status in ["completed", "failed", "cancelled"]:
            break
        time.sleep(0.02)
    counts = job.device_job_statistics
    return [job.status, counts.device_count, counts.succeeded_count, counts.failed_count]


for n in range(3):
    registry.create_device_with_sas(f"d{n}", "", "", "enabled")
    registry.update_twin(f"d{n}", Twin(tags={"n": n}))

update = JobRequest(
    job_id="update-1",
    type="scheduleUpdateTwin",
    query_condition="tags.n > 0",
    update_twin=Twin(etag="*", tags={"n": None, "job": 1}, properties=TwinProperties(desired={"a": 1})),
    start_time=datetime.datetime.now(datetime.timezone.utc),
    max_execution_time_in_seconds=60,
)
made = jobs.create_scheduled_job("update-1", update)
show("created", [made.job_id, made.type, made.status, made.query_condition])
show("over", over("update-1"))
twin = registry.get_twin("d1")
show("twin", [twin.tags, twin.properties.desired["a"]])
refused("created twice", lambda: jobs.create_scheduled_job("update-1", update))

update.job_id = "update-2"
update.update_twin.etag = "AAAAAAAAAAE="
refused("an etag", lambda: jobs.create_scheduled_job("update-2", update))
refused("a type that is none", lambda: jobs.create_scheduled_job("x", JobRequest(job_id="x", type="scheduleTwinUpdate")))

show("an unknown job", [jobs.get_scheduled_job("none").type, jobs.get_scheduled_job("none").status])
method = JobRequest(
    job_id="method-1",
    type="scheduleDeviceMethod",
    query_condition="*",
    cloud_to_device_method=CloudToDeviceMethod(method_name="reboot", payload={"x": 1}, response_timeout_in_seconds=5),
    max_execution_time_in_seconds=60,
)
jobs.create_scheduled_job("method-1", method)
show("methods of devices that are away", over("method-1"))

update.update_twin.etag = "*"
update.start_time = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
jobs.create_scheduled_job("update-2", update)
method.job_id = "method-2"
refused("one at a time", lambda: jobs.create_scheduled_job("method-2", method))
show("cancelled", jobs.cancel_scheduled_job("update-2").status)
refused("cancelled twice", lambda: jobs.cancel_scheduled_job("update-2"))
refused("cancelled none", lambda: jobs.cancel_scheduled_job("none"))

result = registry.query_iot_hub(QuerySpecification(query="SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'update-1'"))
outcomes = [[item.device_id, item.status] for item in result.items]
show("outcomes", [result.type, outcomes])

try:
    jobs.query_scheduled_jobs("scheduleUpdateTwin", "completed")
    show("listed", "read")
except DeserializationError:
    # The answer is a list, as other SDKs know it; this one looks for an object.
    show("listed", "not read")
