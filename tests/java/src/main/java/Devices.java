import com.microsoft.azure.sdk.iot.device.DeviceClient;
import com.microsoft.azure.sdk.iot.device.InternalClient;
import com.microsoft.azure.sdk.iot.device.IotHubClientProtocol;
import com.microsoft.azure.sdk.iot.device.IotHubMessageResult;
import com.microsoft.azure.sdk.iot.device.Message;
import com.microsoft.azure.sdk.iot.device.ModuleClient;
import com.microsoft.azure.sdk.iot.device.exceptions.IotHubClientException;
import com.microsoft.azure.sdk.iot.device.twin.DirectMethodResponse;
import com.microsoft.azure.sdk.iot.device.twin.TwinCollection;
import com.microsoft.azure.sdk.iot.service.messaging.IotHubServiceClientProtocol;
import com.microsoft.azure.sdk.iot.service.messaging.MessagingClient;
import com.microsoft.azure.sdk.iot.service.methods.DirectMethodRequestOptions;
import com.microsoft.azure.sdk.iot.service.methods.DirectMethodsClient;
import com.microsoft.azure.sdk.iot.service.registry.Device;
import com.microsoft.azure.sdk.iot.service.registry.Module;
import com.microsoft.azure.sdk.iot.service.registry.RegistryClient;
import com.microsoft.azure.sdk.iot.service.twin.Twin;
import com.microsoft.azure.sdk.iot.service.twin.TwinClient;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * A device and one of its modules by the device SDK, with their back end by the service SDK.
 * The arguments are the hub's connection string and the protocol: MQTT or MQTT_WS.
 */
final class Devices {
    private Devices() {}

    public static void main(String[] args) {
        Steps.run(() -> run(args));
    }

    private static void run(String[] args) throws Exception {
        IotHubClientProtocol protocol = IotHubClientProtocol.valueOf(args[1]);
        String host = args[0].substring(0, args[0].indexOf(';'));
        RegistryClient registry = new RegistryClient(args[0]);
        Device device = registry.addDevice(new Device("java"));
        Module module = registry.addModule(new Module("java", "arm"));
        String byKey = host + ";DeviceId=java;SharedAccessKey=" + device.getPrimaryKey();
        session(args[0], new DeviceClient(byKey, protocol), "java", null);
        byKey = host + ";DeviceId=java;ModuleId=arm;SharedAccessKey=" + module.getPrimaryKey();
        session(args[0], new ModuleClient(byKey, protocol), "java", "arm");
        String otherKey = host + ";DeviceId=java;SharedAccessKey=" + module.getPrimaryKey();
        DeviceClient stranger = new DeviceClient(otherKey, protocol);
        try {
            stranger.open(false);
            Steps.show("wrong key", "accepted");
        } catch (IotHubClientException refusal) {
            Steps.show("wrong key", refusal.getStatusCode());
        }
    }

    private static void session(String hub, InternalClient client, String deviceId, String moduleId) throws Exception {
        RegistryClient registry = new RegistryClient(hub);
        TwinClient twins = new TwinClient(hub);
        BlockingQueue<TwinCollection> patches = new LinkedBlockingQueue<>();

        client.open(false);
        Steps.show("open", moduleId == null
                ? registry.getDevice(deviceId).getConnectionState()
                : registry.getModule(deviceId, moduleId).getConnectionState());
        client.subscribeToDesiredProperties((twin, context) -> patches.add(twin.getDesiredProperties()), null);
        com.microsoft.azure.sdk.iot.device.twin.Twin twin = Acknowledged.twin(client);
        Steps.show("twin", new Object[] {section(twin.getDesiredProperties()), section(twin.getReportedProperties())});

        TwinCollection report = twin.getReportedProperties();
        report.put("network", Map.of("rssi", -71, "kind", "cellular"));
        Steps.show("reported", Acknowledged.report(client, report));
        // This report is bound to the version that the first one has made old.
        Steps.show("report on an old version", Acknowledged.report(client, report));
        Twin seen = moduleId == null ? twins.get(deviceId) : twins.get(deviceId, moduleId);
        Steps.show("seen by the back end", seen.getReportedProperties());

        Twin wanted = moduleId == null ? new Twin(deviceId) : new Twin(deviceId, moduleId);
        wanted.getDesiredProperties().put("mode", "eco");
        twins.patch(wanted);
        Steps.show("patch", section(next(patches)));
        wanted.getDesiredProperties().put("mode", null);
        twins.patch(wanted);
        Steps.show("patch that removes", section(next(patches)));
        wanted.getDesiredProperties().clear();
        wanted.getDesiredProperties().put("speed", 2);
        twins.replace(wanted);
        Steps.show("replacement", section(next(patches)));

        client.subscribeToMethods((name, payload, context) -> new DirectMethodResponse(
                207, Map.of("called", name, "with", payload.getPayload(Object.class))), null);
        DirectMethodsClient methods = new DirectMethodsClient(hub);
        DirectMethodRequestOptions options = DirectMethodRequestOptions.builder()
                .payload(Map.of("delay", 5)).methodConnectTimeoutSeconds(20).methodResponseTimeoutSeconds(20).build();
        com.microsoft.azure.sdk.iot.service.methods.DirectMethodResponse answer = moduleId == null
                ? methods.invoke(deviceId, "reboot", options)
                : methods.invoke(deviceId, moduleId, "reboot", options);
        Steps.show("method", new Object[] {answer.getStatus(), answer.getPayload(Object.class)});

        if (client instanceof DeviceClient) {
            BlockingQueue<Message> messages = new LinkedBlockingQueue<>();
            ((DeviceClient) client).setMessageCallback((message, context) -> {
                messages.add(message);
                return IotHubMessageResult.COMPLETE;
            }, null);
            MessagingClient messaging = new MessagingClient(hub, IotHubServiceClientProtocol.AMQPS);
            messaging.open();
            messaging.send(deviceId, new com.microsoft.azure.sdk.iot.service.messaging.Message("wake up"));
            messaging.close();
            Steps.show("message", new String(next(messages).getBytes(), StandardCharsets.UTF_8));
        }

        client.sendEvent(new Message("telemetry"));
        Steps.show("telemetry", "acknowledged");
        client.close();
        Steps.show("closed", true);
    }

    private static <T> T next(BlockingQueue<T> received) throws InterruptedException {
        T next = received.poll(30, TimeUnit.SECONDS);
        if (next == null) {
            throw new IllegalStateException("nothing came for 30 s");
        }
        return next;
    }

    private static Object section(TwinCollection section) {
        return new Object[] {section, section.getVersion()};
    }
}
