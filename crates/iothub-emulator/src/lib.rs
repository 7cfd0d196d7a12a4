//! The embedded hub: IoT Hub's service API, its devices' MQTT and its messages to devices over a durable store, for tests, demonstrations and work
//! without a cloud.
//!
//! It never imports the manifest, the plan, the client or apply: it could as well be another program, and is meant to be as
//! strict as the real one. Read `core::state::Hub` first, a pure machine from requests (`core::ask::Ask`) to replies; then
//! [`Emulator`], which puts HTTPS, MQTT and AMQP before it and a disk behind it. [`OfflineHub`] is the same machine
//! without a listener.
//!
//! A write is answered when it is on disk, and a read when what it shows is: a crash takes back nothing that anybody has seen.
//! One sync covers all writes that wait. When the disk fails, every later write is answered with 503 `ServiceUnavailable`, as
//! is every read of what did not reach the disk, until the hub is started again; what is on disk stays readable.
//!
//! # Choices where the facts are unsure
//!
//! Twins:
//! - A new twin has the etag `AAAAAAAAAAE=`, `$version` 1 in both sections, root `version` 2 and no
//!   `$lastUpdatedVersion` (samples in Microsoft's documentation from 2019 on). Each write to tags or desired adds
//!   one to the etag's counter and to root `version`; identity writes move neither.
//! - A twin without tags has no `tags`, before the first and after the last one (azure-iot-cli-extension's live
//!   tests).
//! - Members keep the order in which clients wrote them; `$metadata` and `$version` come last (captures in
//!   Microsoft's how-tos). A PATCH leaves a member in its place and puts a new one at the end. A notification has
//!   the order of the write. Columns of a query have the order of its list; one sample in the documentation has
//!   `COUNT()` first that is second in its list.
//! - Numbers keep their value: `1.0` is answered as `1.0` (terraform-provider-iothub saw this on a live hub),
//!   `1.50` as `1.5`, `1E5` as `100000.0`. `-0` is an integer and answered as `0`, `-0.0` as `-0.0`, as the service's JSON
//!   reader (Newtonsoft's) takes them. `1e400` is refused, and so are integers of any length that need more than 52 bits.
//! - Times of what never happened are `0001-01-01T00:00:00Z`. terraform-provider-iothub saw seven more digits in
//!   some answers.
//! - In a PATCH and in a job, null for `properties.desired` or `tags` removes all in it: Node's end-to-end tests do
//!   the first, and did the second. In MicrosoftDocs/azure-docs#32289 tags stayed, with a C# client that does not
//!   send the null. In bulk requests and imports null is as left out: some clients write members so that they did
//!   not set.
//! - A write to tags alone leaves the desired `$version` as it is.
//! - A body that names no section (`{}`) writes nothing and moves nothing. A section that is named is written, even by `{}` or
//!   by equal values. A body of no bytes is `ArgumentNull`.
//! - PUT wipes a section that its body does not name, or names with null.
//! - `$metadata` and `$version` at the root of a section are passed over, in tags too; any other key with `$` is refused.
//! - An unquoted etag in `If-Match` on a twin is passed over, and the write happens.
//! - A removed key moves the times of all objects above it, even when it was not there.
//! - Arrays count as a level of depth, and their items' bytes towards a section's size.
//! - Twins are answered with a quoted `ETag` header.
//! - Members that are not set (`statusReason`, `deviceScope`, `parentScopes`) are left out; `modelId` is the empty text
//!   until a client announces a model in its MQTT user name (`model-id=`). The last one that was announced stays. It
//!   moves neither etag nor version.
//! - A digital twin has the members that the documentation shows. What a device reports as `{"value": …, "ac": …}`
//!   counts as acknowledged. A property that is desired and not reported stands in `$metadata` alone.
//! - A patch of a digital twin writes desired properties, by the documentation's rules for names and values. A property
//!   of a component that is not there, or of what is no component, is `ArgumentInvalid`; other faults are
//!   `InvalidDigitalTwinPatch…`. Of a component it writes the properties that it names and `__t`, as a merge patch does:
//!   the others keep their metadata, and the device is told nothing of them.
//! - Module twins have no `capabilities`, and metadata of `0001-01-01T00:00:00Z` until they are written (samples in
//!   Microsoft's module tutorials). Their `status` is always `enabled`, whatever their device's.
//!
//! Identities:
//! - A delete without `If-Match` is `PreconditionFailed` even when there is no such device.
//! - A body without `status` means `enabled`; one whose `deviceId` is not the path's is `ArgumentInvalid`.
//! - Without `authentication.type`, thumbprints mean `selfSigned`, and anything else `sas`. A thumbprint has 40 or 64
//!   hexadecimal digits.
//! - Lists are in order of creation.
//! - Any operation on the module identities of a device that is missing or disabled is 401 `IotHubUnauthorizedAccess`, whatever
//!   the credentials. A missing module, and one that is there already, are told by number (`errorCode`) in the body. A 51st
//!   module is `TooManyModulesOnDevice` (413).
//! - `$edgeAgent` and `$edgeHub` are made with a device that has `capabilities.iotEdge`, without keys and managed by
//!   `iotEdge`, and count among the 50. They stay when it is no edge device any more. Creating, changing and deleting
//!   them, and writing their twins, is 401 `SystemModuleModifyUnauthorizedAccess`, in bulk as well
//!   (Azure/iotedge#1162). The Terraform provider's record has patches of their twins as accepted, which the documentation's
//!   table of errors contradicts. A missing one's twin is `DeviceNotFound`.
//! - An edge device's `deviceScope` is `ms-azure-iot-edge://ID-GENERATION`, its `generationId` (AZ-220's captures),
//!   whatever a new one's body names; of a device that becomes one by an update it is `ms-azure-iot-edge://ID-` (the
//!   Terraform provider's record). Other devices name their parent in `deviceScope`, which is copied to `parentScopes`;
//!   what they name in `parentScopes` themselves is passed over. Edge devices name theirs in `parentScopes`, one at most. Identities always have `parentScopes`, twins when there
//!   is a parent.
//! - An update names an edge device's own `deviceScope` as it is, or is `ArgumentInvalid` ("Device scope is
//!   immutable"); without `parentScopes` it has no parent any more. A device that becomes an edge device leaves
//!   `deviceScope` out or empty, or is 503, as the record has it. One that stops being one has no scope and no parent
//!   after that write.
//! - A new device may name a scope that is nobody's (C#'s live suite does in bulk); an update to such a scope, or to
//!   its own, is `InvalidDeviceScope` (Node's live suite wants it refused). Nobody looks for circles. Children keep the
//!   scope of a parent that is gone.
//! - `POST /devices/keys/regenerate` takes 100 devices and modules at most. The answer is 200 when all have new keys,
//!   207 when some have, and 400 when none has. What is not by keys, or is not there, stands among the errors, with a
//!   number. What is named twice refuses the whole request with `DeviceDefinedMultipleTimes`, as in bulk; there is no
//!   source for that.
//! - A device's own key opens `/devices/{id}/modules` and what is below, of that device alone: C's live suite
//!   (`iothub_account.c`) and IoT Edge's identity service make modules so, the latter with the api-version
//!   `2017-11-08-preview`, and so does Go's live suite, whose token is for `HOST/ID`. A certificate does not, over
//!   HTTPS.
//!
//! Bulk (`POST /devices`):
//! - An empty body, an entry without `importMode`, one whose mode is for import jobs only, and an id that comes twice refuse the
//!   whole request. An id that is none fails its entry alone.
//! - `updateTwin` merges whatever the etags are. `updateTwinIfMatchETag` compares the `twinETag`, the other `…IfMatchETag`
//!   modes the `eTag`; a stale one is `PreconditionFailed`. Without any etag they compare nothing: Go's live suite
//!   (amenzhinsky/iothub) updates and removes so, while C#'s client refuses to send it. With the other etag alone they are
//!   `PreconditionFailed`. An etag of an entry may have quotes, as in `If-Match`, and so may `*`.
//! - `errorCode` is a number, in a result and in `importErrors.log`: Go's client reads nothing else, those of Python,
//!   C# and Node either. `warningCode` is a name, as Microsoft's definition of the API has it.
//! - A `twinETag` that is given is compared where the documentation's table of import modes has it: in `createOrUpdate` and
//!   `createOrUpdateIfMatchETag`, where a stale one writes neither twin nor identity, and in `updateTwinIfMatchETag`.
//! - Modes that make or replace an identity merge the tags and desired properties that the entry names into the twin as well.
//!   When a new twin's are refused, the device is there all the same, with the warning `DeviceRegisteredWithoutTwin`.
//! - `properties.reported` and `$metadata` are passed over.
//!
//! Configurations:
//! - A target condition that is empty or left out targets nobody. Besides `deviceId`, `moduleId`, `tags` and
//!   `properties.reported` it may name nothing. Conditions on modules go with `moduleContent`, all others with the rest.
//! - Of two configurations that write one path, or one through the other's, the higher priority wins, and of equal ones the
//!   younger. The others' remaining paths are written all the same. A configuration that lost a path, or that a twin has no room
//!   for, has the status `Targeted` there, and else `Applied`.
//! - A value is put in the place of what is there, keys that it does not name included. What is there already is not written.
//! - Statuses move neither etag nor version, and are left out where there are none. When a twin leaves the target, or the
//!   configuration goes, what was written stays.
//! - A custom metric is the number of rows of its query, which is no aggregate. `results` are empty until an evaluation.
//! - `modulesContent` is kept and its targets counted; nothing carries it out, so no edge device counts as applied or
//!   reported. It may be without `$edgeAgent`: a layered deployment is (az's help skips its checks where it finds no base
//!   deployment).
//! - Labels, metrics' queries and contents keep the order in which they were written, and results have that of their queries.
//! - A metric's query that ends without a `FROM` asks of devices: `select *`.
//! - `applyConfigurationContent` writes the content into the twins of the device's modules, `$edgeAgent` and `$edgeHub`
//!   included, all or nothing; what is there already is not written. Modules that are not there are made without keys,
//!   managed by `iotEdge` (az's exported state of a hub; iotedge's agent), those that are not named stay. Content
//!   without `$edgeAgent` is `InvalidConfigurationContent`, a device that is no edge device `ArgumentInvalid`.
//! - Evaluations are a second after a change and five minutes after the last one.
//! - An update passes `content` over; labels, `schemaVersion`, condition, priority and metrics that it leaves out are
//!   as new.
//!
//! Jobs (`/jobs/v2`):
//! - A job is `queued` when it is made, `scheduled` while its time is to come, and then `running`. `*` as its condition is all
//!   devices, none is `ArgumentNull`, one of more than 8,192 bytes 412; one that is wrong fails the job when it begins.
//! - An `updateTwin` whose etag is not `*` is `PreconditionFailed`. A type that is none is `GenericBadRequest`.
//! - A job works on the devices that its condition finds among those that there are when it begins. A device waits as
//!   `scheduled`.
//! - One that takes longer than `maxExecutionTimeInSeconds` (an hour when left out) ends as `failed`; what waited still fails
//!   with `GenericTimeout`.
//! - After a restart a job goes on where it was; a method that was under way is failed with `ServerError` and not called again.
//! - A job's id has 1 to 64 letters, digits, `-` and `'`. The Terraform provider's record of August 2026 saw capitals refused;
//!   Java's and Python's own samples (`DHCMD…`) and C#'s and Java's live tests send them, and they are taken. Ids count with their case.
//! - One job may wait or run at a time, as on S1, five with the tier S2 and ten with S3. Jobs are forgotten thirty days after their end, and their ids free again.
//! - A query for a type or status that is none finds nothing.
//!
//! Import and export jobs:
//! - They open containers by the signature in the URI alone; `identityBased` is `ArgumentInvalid`. A container that cannot be reached
//!   within ten seconds, that is not there, or whose signature does not let the hub read (input) or write and delete (output) is
//!   `BlobContainerValidationError` at once, as a live hub has it (mwalser/terraform-provider-iothub). What the input lacks fails the job.
//! - Answers leave out the containers' URIs, as that hub's do. Exports leave out `$metadata` and `$version` (MicrosoftDocs/azure-docs#116520).
//! - Exports have lines of `$edgeAgent` and `$edgeHub`, and no import takes them: each is an error in the log, with 401100. A live
//!   hub exported them and did not import them (azure-iot-sdk-csharp#1146). The modules are made with their device.
//! - With `includeConfigurations`, an export writes `configurations.txt`, or what `configurationsBlobName` says, after the devices: a line
//!   each, the service's names in capitals (`TargetCondition`), as that hub does. An import reads names in any case. A line makes a
//!   configuration, or updates the one that is there, under its `ETag` if it has one (C#'s `createOrUpdateIfMatchETag`, the only mode).
//!   Errors are lines of `importErrors.log` with `configurationId` in place of `deviceId`, for which there is no source.
//! - A second job is 403 at any time before the first one is over. Cancelling one that is over is 405.
//! - Containers may be any blob storage that the hub reaches, Azurite over plain HTTP included.
//! - A line of an import without `importMode` is `createOrUpdate`. Reported properties and `$metadata` are passed over.
//!   A line without `status` is `ArgumentInvalid`. `importErrors.log` is written when there are errors or warnings, and has
//!   `warningCode` for a device whose twin was refused.
//! - What is wrong with a line is in the log without the line's texts, as they may be keys.
//! - Cancelling a job ends its work at once, and the next one can begin. What was imported before stays.
//! - A job that was under way when the hub stopped has failed.
//!
//! Devices:
//! - Every refusal at CONNECT is code 5, but for another version of MQTT, which is code 1, a client id that is no device's and no
//!   module's, which is code 2, and a throttle, which is code 3.
//! - A packet that MQTT 3.1.1 does not allow ends the connection, wherever the specification asks for that. `#` and `+` in the
//!   id of a device or module are no wildcards: ids may have them, and topics have ids as they are.
//! - A token's host must be the user name's, whatever that is: clients behind a gateway or a forwarder name hubs that
//!   this one does not know. A token of a policy with DeviceConnect connects any device, whatever its authentication.
//! - Ids may be encoded twice in `sr` where a device's own key signed it, as Microsoft's C# device SDK and IoT Edge do
//!   (azure-iot-sdk-csharp#771, iotedge#759). A policy's token is decoded once: one for `a%2Bb` does not open `a+b`.
//! - A device's keys connect its modules as well, however these prove themselves: the live suites of Java
//!   (`DeviceConnectionString`) and C connect all their modules so. A device's certificate does not. Certificates count
//!   by their thumbprints, not by an authority: a device of the type `certificateAuthority` cannot connect.
//! - Whoever connects without a clean session is told that one is present. Subscriptions last until the device is
//!   deleted.
//! - Over HTTPS a device has `messages/events` and `messages/deviceBound` with any dated `api-version`, as tutorials
//!   name them from 2016 on. A refusal is 401 `IotHubUnauthorized`, whatever the reason; a lock that is over is 412
//!   `DeviceMessageLockLost`. `IotHub-MessageLockTimeout` is 1 to 300 seconds, a minute when left out. Properties that
//!   cannot stand in a header are left out, and `iothub-sequencenumber` counts over all devices.
//! - Telemetry with a property that begins with `AzIoTHub_FaultOperation` is refused: over MQTT the connection is cut,
//!   over HTTPS it is 400 `InvalidOperation`.
//! - Twin requests are answered without a subscription to the answers.
//! - A report that a client sends again after a lost connection is done again.
//! - A report adds one to the root `version`, and leaves the etag. `$version` in a report is refused like any key with `$`.
//! - A desired patch tells each key that was sent; one that only removes what is not there is not told at all. After a
//!   replacement it is the new document, with null for each key that is gone.
//! - `lastActivityTime` moves on connecting and on messages in either direction, at most once a second. It and the
//!   connection's state are not written to disk for their own sake; after a restart every device is disconnected.
//! - `/statistics/service` counts devices and not their modules, at once.
//! - A device that is disabled or deleted is cut; new keys cut nobody.
//! - A client that sends no CONNECT for 20 seconds is cut, as is one that does not take what is written to it for 30 seconds
//!   or has more than 4 MiB waiting.
//! - Keep alive 0 is the longest that there is, 1,767 seconds.
//! - A will must name the device's own telemetry, or CONNECT is refused. Telemetry and wills go nowhere.
//! - A method's name has 1 to 100 bytes and nothing that means something in a topic. Without an answer in time, or when
//!   the connection ends before it, the call is `GatewayTimeout`.
//! - A method's payload passes as its bytes in both directions, white space included; no bytes from a device are
//!   `null`. What is no JSON makes an answer that is none (azure-iot-sdk-c#1641, azure-iot-sdk-node#736; in 2018 it was
//!   refused: azure-iot-sdk-c#417). In a job's outcome it becomes a text. What a device answers may be larger than the
//!   128 KB that a call's payload may have.
//!
//! Messages to devices:
//! - What waits for a device is given to it when it subscribes, what came before the subscription included. A connection has 16
//!   messages in its hands at a time.
//! - A message that is not acknowledged for a minute is sent again over the same connection, marked as a duplicate;
//!   over another one it comes again at once. The delivery count counts what is abandoned and locks that are over,
//!   which is over HTTPS alone; the tenth ends the message with `DeliveryCountExceeded`.
//! - A subscription at QoS 0 gets messages at QoS 0, which count as completed when they are sent.
//! - A disabled device's queue takes messages. Messages to modules are `amqp:not-implemented`.
//! - An expiry more than two days ahead counts as two days; a message whose time is over when it comes is taken, and expires.
//! - A message's size is its payload's with the names and values of its properties. More than 64 KB, or properties that make a
//!   topic of more than 65,535 bytes, are `MessageTooLarge`.
//! - `iothub-ack` may be in any case; another value than the four, and a property whose name begins with `$.`, are
//!   `ArgumentInvalid`. Values that are no texts are written as ones: numbers in decimal, times in milliseconds since 1970, null as
//!   the name alone.
//! - Topics begin with `$.mid`, then `$.to` as the sender spelled it; `$.exp` is there when the sender gave an expiry.
//! - `cloudToDeviceMessageCount` counts messages under way as well, and moves neither etag nor version. Purging needs
//!   ServiceConnect.
//! - Purged messages are told to those who asked for negative feedback. Feedback about a message without an id has no
//!   `originalMessageId`. When none was sent for 15 seconds it is sent at once. What a receiver releases or modifies is abandoned;
//!   what it has when it goes waits again.
//! - The text of an AMQP error begins as a refusal's over HTTPS does, with `ErrorCode:`. A full queue is
//!   `amqp:resource-limit-exceeded`, no such device `amqp:not-found`, an argument `com.microsoft:argument-error`.
//! - Links to other nodes are refused with `amqp:not-implemented`, and those that the token does not open with
//!   `amqp:unauthorized-access`. A message of more than 1 MiB costs its link, as it is told; more than 64 sessions, or
//!   4 MiB of messages that are not whole, cost the connection.
//! - A WebSocket ends with the status 1000 after CLOSE, DISCONNECT or a refusal, 1001 when the hub stops, 1002 after
//!   what is not of its protocol, 1003 after a frame of text, 1007 after a text that is no UTF-8, 1009 after a message of more
//!   than 512 KB, and 1008 when the client is cut.
//! - The first subprotocol that a client names and the hub speaks counts, `mqtt` or `AMQPWSB10` in any case, and is answered as the
//!   client spelt it. A client that names none of them is served MQTT, without a subprotocol in the answer.
//! - AMQP may begin with SASL (MSSBCBS, PLAIN, ANONYMOUS) or without it. The user's name of PLAIN is passed over: the token names
//!   its policy.
//! - A client that brings no token for 20 seconds is cut, as is one that is silent for eight minutes or whose token is over.
//! - What services do over AMQP is neither throttled nor charged, and no fault happens to it.
//!
//! Queries:
//! - A query that is wrong is `ArgumentInvalid` with the service's bare word `BadRequest`, and after it what is wrong, which the
//!   service does not say.
//! - 100 rows a page by default, 1,000 at most; a larger wish is cut, one that is no positive number is `ArgumentInvalid`.
//! - Answers are never stale unless a query lag is asked for, and rows come in order of creation. A continuation stays good
//!   while twins come and go, for the query that it was given for.
//! - With a query lag of some time, a query sees every device and module as it was that long ago, and those that are gone since.
//!   What was there when the hub was started is seen as it was then. Lists, statistics and the outcomes of jobs do not lag; jobs
//!   find their devices, and exports theirs, as queries do.
//! - `SELECT *` rows are what GET answers, `$metadata` and `deviceEtag` included.
//! - Each page of an aggregate counts anew.
//! - Values that differ in the order of their members alone are one group, which is answered in the order of its first document.
//!
//! Access:
//! - A token is taken for five minutes after its end (azure-iot-sdk-csharp#97, azure-iot-sdk-c#163). Then the
//!   connection that came with it is cut, over MQTT and AMQP alike; on the service that was seen to take ten minutes
//!   (azure-iot-sdk-csharp#564).
//! - Jobs and configurations need RegistryRead, RegistryWrite and ServiceConnect together.
//! - Queries and `/statistics/service` need ServiceConnect, `/statistics/devices` RegistryRead.
//! - Entra tokens are taken of an issuer whose key set the hub was given, and of nobody else. They are signed with RS256 and name
//!   their key; times count as they do for shared access signatures. The service looks roles up, which here stand in the claim
//!   `roles` by the names of the built-in ones.
//! - A role that is missing is 401 `IotHubUnauthorizedAccess`, as a policy's missing right is. Reading and writing import and
//!   export jobs counts as `jobs/…`, and only Data Contributor may purge messages to devices.
//!
//! Limits, when a tier is given:
//! - Each throttle serves the requests of a minute at once, then at its rate. A request that would wait for more than 30 seconds
//!   is refused, at once; one that waits has its turn even if its client has gone.
//! - The operation types `CRUD`, `RegistryRead` and `ConfigurationWrite` are the service's; `ConfigurationRead`, `TwinRead`,
//!   `TwinUpdate`, `Query`, `JobRead`, `JobWrite` and `DirectMethod` are made after them.
//! - Import and export jobs are throttled as jobs are, digital twins as twins, purges and statistics as the registry.
//! - The quota counts from the hub's start, by the UTC day. What was done is charged, what was refused is not. When it is used up,
//!   only operations that are charged are refused.
//! - Jobs and configurations write to twins as fast as they can, and are not charged for it; the notifications are.
//! - A hub of the tier F1 has 10 configurations at most, as the newer of two versions of the documentation says.
//! - The Basic tier has identities, queries, import and export, connections and telemetry; all else is
//!   `OperationNotAvailableInCurrentTier`. Over AMQP that is the condition `amqp:not-allowed` of a link for messages or their
//!   feedback; over MQTT a twin request is answered with 403, and a subscription to messages is taken and gets none. Microsoft's table
//!   of tiers has `GET …/messages/deviceBound` in Basic, and its reference of that call has it in Standard alone, which counts here.
//! - A device's twin request that is throttled is 429 with `ThrottlingException`; telemetry that would wait too long ends the
//!   connection. Each client's requests are done in their order, so one that waits holds up the next, but no ping.
//! - Devices are charged the properties that a twin request answers with, the patch that they report, each notification that
//!   is written to them, and a message's payload and properties. They connect and are notified when the quota is used up, too;
//!   whatever else is charged then ends the connection.
//!
//! Requests:
//! - The version is looked at first, then the token, then the body. Bodies of more than 1 MiB are `MessageTooLarge`.
//! - The etags of `If-Match`, in one header or in several, are one list, in which the current one must be (RFC 9110). A weak etag
//!   (`W/"…"`) is never the current one, although Microsoft's definition of the API speaks of "a weak ETag"
//!   (azure-sdk-for-net#12032). In a list, neither is `*` nor an etag without quotes.
//! - Names of parameters count in any case, as ASP.NET reads them. Names and values are decoded, and of several that are one name
//!   the first one counts.
//! - Numbers and booleans may be texts, as Newtonsoft's reader takes them: `"30"`, `"true"`. A number may stand for a
//!   boolean, an empty text for null, and `"30.0"` for nothing.
//! - A body may begin with the byte order mark of UTF-8, as PowerShell writes it.
//! - A path or method that is not served is 404 or 405 with the code `InvalidOperation`, so that it does not look like a device
//!   that is not there.
//! - Every refusal has its code in `iothub-errorcode` and in `IotHubErrorCode`, but for a request that was to become a WebSocket and cannot.
//! - What a refused client still sends of its body is read and dropped, up to 1 MiB, so that it gets the refusal.
//! - Names of members count in any case, in all bodies and in the lines of imports; names that users make up, as in
//!   tags, keep theirs. Of several spellings of one name the last one counts (JamesNK/Newtonsoft.Json#1571, the
//!   service's JSON reader).

#![warn(missing_docs)]

// In reading order: a module uses those above it, and none below.
mod clock;
mod policy;
mod core;
mod limits;
mod faults;
mod start_error;
mod store;
mod access;
mod connections;
mod request_log;
mod options;
mod handle;
mod methods;
mod background;
mod transport;
mod frontends;
mod server;
mod offline;
mod emulator;
mod builder;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
mod tests;

/// The code of the README, which runs as documentation tests do.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use access::tls_files::TlsFiles;
pub use builder::EmulatorBuilder;
pub use clock::EmulatorClock;
pub use core::command::Refusal;
pub use emulator::Emulator;
pub use faults::{FaultSpec, FaultsError};
pub use iothub_model::tiers::{Limits, LimitsError, Tier};
pub use offline::OfflineHub;
pub use policy::Policy;
pub use request_log::RequestRecord;
pub use start_error::{HubStartError, TlsFileProblem};
