import com.microsoft.azure.sdk.iot.service.auth.AuthenticationType;
import com.microsoft.azure.sdk.iot.service.auth.SymmetricKey;
import com.microsoft.azure.sdk.iot.service.query.QueryClient;
import com.microsoft.azure.sdk.iot.service.query.QueryPageOptions;
import com.microsoft.azure.sdk.iot.service.query.RawQueryResponse;
import com.microsoft.azure.sdk.iot.service.query.TwinQueryResponse;
import com.microsoft.azure.sdk.iot.service.registry.Device;
import com.microsoft.azure.sdk.iot.service.registry.DeviceStatus;
import com.microsoft.azure.sdk.iot.service.registry.Module;
import com.microsoft.azure.sdk.iot.service.registry.RegistryClient;
import com.microsoft.azure.sdk.iot.service.twin.Twin;
import com.microsoft.azure.sdk.iot.service.twin.TwinClient;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;

/** A back end by the service SDK: identities, twins under etags, queries. The argument is the hub's connection string. */
final class BackEnd {
    private BackEnd() {}

    public static void main(String[] args) {
        Steps.run(() -> run(args));
    }

    private static void run(String[] args) throws Exception {
        RegistryClient registry = new RegistryClient(args[0]);
        identities(registry);
        modules(registry);
        TwinClient twins = new TwinClient(args[0]);
        twins(twins);
        queries(new QueryClient(args[0]));
        registry.removeDevice("java-1");
        Steps.showRefusal("twin of a deleted device", () -> twins.get("java-1"));
    }

    private static void identities(RegistryClient registry) throws Exception {
        Device device = new Device("java-1");
        SymmetricKey keys = new SymmetricKey();
        device.setSymmetricKey(keys);
        Device added = registry.addDevice(device);
        Steps.show("added", new Object[] {
            added.getDeviceId(), added.getStatus(), added.getAuthenticationType(), added.getConnectionState()
        });
        Steps.show("keys kept", added.getPrimaryKey().equals(keys.getPrimaryKey()));
        Steps.showRefusal("added twice", () -> registry.addDevice(device));
        Device spare = new Device("java-2", AuthenticationType.SELF_SIGNED);
        spare.setThumbprint("A".repeat(40), "B".repeat(40));
        spare.setStatus(DeviceStatus.Disabled);
        added = registry.addDevice(spare);
        Steps.show("x509", new Object[] {
            added.getAuthenticationType(), added.getPrimaryThumbprint(), added.getStatus()
        });
        added.setStatus(DeviceStatus.Enabled);
        Steps.show("updated", registry.updateDevice(added).getStatus());
        registry.addDevice(new Device("java-3", AuthenticationType.CERTIFICATE_AUTHORITY));
        Steps.show("certificate authority", registry.getDevice("java-3").getAuthenticationType());
        Steps.showRefusal("get of nobody", () -> registry.getDevice("nobody"));
        Steps.show("statistics", registry.getStatistics().getTotalDeviceCount());
    }

    private static void modules(RegistryClient registry) throws Exception {
        Module module = registry.addModule(new Module("java-1", "m-1"));
        Steps.show("module added", new Object[] {
            module.getDeviceId(), module.getId(), module.getAuthenticationType(),
            Base64.getDecoder().decode(module.getPrimaryKey()).length
        });
        Steps.showRefusal("module added twice", () -> registry.addModule(new Module("java-1", "m-1")));
        registry.addModule(new Module("java-1", "m-2"));
        List<String> ids = new ArrayList<>();
        for (Module each : registry.getModulesOnDevice("java-1")) {
            ids.add(each.getId());
        }
        Steps.show("modules", ids);
        registry.removeModule("java-1", "m-2");
        Steps.showRefusal("module of nobody", () -> registry.getModule("java-1", "m-2"));
    }

    private static void twins(TwinClient twins) throws Exception {
        Twin fresh = twins.get("java-1");
        Steps.show("fresh twin", new Object[] {fresh.getDeviceId(), fresh.getDesiredProperties()});
        Twin patch = new Twin("java-1");
        patch.getTags().put("location", Map.of("plant", "Redmond43"));
        patch.getDesiredProperties().put("mode", "eco");
        patch.getDesiredProperties().put("power_level", 1);
        Twin patched = twins.patch(patch, quoted(fresh.getETag()));
        Steps.show("patched", twin(patched));
        Steps.show("moved", new Object[] {
            !patched.getETag().equals(fresh.getETag()), patched.getVersion() - fresh.getVersion()
        });
        Steps.showRefusal("patch under a stale etag", () -> twins.patch(patch, quoted(fresh.getETag())));
        Twin removal = new Twin("java-1");
        removal.getDesiredProperties().put("mode", null);
        Steps.show("null removes", twin(twins.patch(removal)));
        Twin replacement = new Twin("java-1");
        replacement.getTags().put("plant", "Redmond44");
        replacement.getDesiredProperties().put("speed", 2.5);
        Twin latest = twins.get("java-1");
        Steps.show("replaced", twin(twins.replace(replacement, quoted(latest.getETag()))));
        Steps.showRefusal("replacement under a stale etag", () -> twins.replace(replacement, quoted(latest.getETag())));
        Steps.show("after the stale writes", twin(twins.get("java-1")));
        Twin large = new Twin("java-1");
        large.getTags().put("a", Map.of("b", "x".repeat(5000)));
        Steps.showRefusal("text too long", () -> twins.patch(large));
        Twin module = new Twin("java-1", "m-1");
        module.getDesiredProperties().put("interval", 5);
        Steps.show("module twin", twin(twins.patch(module, "*")));
        Steps.showRefusal("twin of nobody", () -> twins.get("nobody"));
    }

    private static void queries(QueryClient queries) throws Exception {
        TwinQueryResponse found = queries.queryTwins("SELECT * FROM devices WHERE tags.plant = 'Redmond44'");
        List<Object> rows = new ArrayList<>();
        while (found.hasNext()) {
            rows.add(twin(found.next()));
        }
        Steps.show("by plant", rows);
        QueryPageOptions two = QueryPageOptions.builder().pageSize(2).build();
        found = queries.queryTwins("SELECT * FROM devices", two);
        List<String> ids = new ArrayList<>();
        while (found.hasNext()) {
            ids.add(found.next(two).getDeviceId());
        }
        Steps.show("in pages of two", ids);
        found = queries.queryTwins("SELECT * FROM devices.modules WHERE properties.desired.interval = 5");
        Steps.show("modules by query", found.next().getModuleId());
        RawQueryResponse raw = queries.queryRaw("SELECT COUNT() AS n FROM devices WHERE authenticationType = 'sas'");
        Steps.show("count", raw.next());
        Steps.showRefusal("query over nowhere", () -> queries.queryTwins("SELECT * FROM nowhere"));
    }

    private static Object twin(Twin twin) {
        return new Object[] {twin.getTags(), twin.getDesiredProperties()};
    }

    // The SDK sends the etag as it stands, and the hub passes one without quotation marks over.
    private static String quoted(String etag) {
        return '"' + etag + '"';
    }
}
