import com.microsoft.azure.sdk.iot.device.InternalClient;
import com.microsoft.azure.sdk.iot.device.IotHubStatusCode;
import com.microsoft.azure.sdk.iot.device.Message;
import com.microsoft.azure.sdk.iot.device.exceptions.IotHubClientException;
import com.microsoft.azure.sdk.iot.device.transport.IotHubTransportMessage;
import com.microsoft.azure.sdk.iot.device.twin.GetTwinCorrelatingMessageCallback;
import com.microsoft.azure.sdk.iot.device.twin.ReportedPropertiesUpdateCorrelatingMessageCallback;
import com.microsoft.azure.sdk.iot.device.twin.ReportedPropertiesUpdateResponse;
import com.microsoft.azure.sdk.iot.device.twin.Twin;
import com.microsoft.azure.sdk.iot.device.twin.TwinCollection;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * Twin requests of a device that wait for the SDK's acknowledgement of the hub's response. The SDK's own calls that wait,
 * `getTwin` and `updateReportedProperties`, sometimes miss a response and time out: Azure/azure-iot-sdk-java#1803.
 */
final class Acknowledged implements GetTwinCorrelatingMessageCallback, ReportedPropertiesUpdateCorrelatingMessageCallback {
    private final CompletableFuture<IotHubTransportMessage> response = new CompletableFuture<>();

    private Acknowledged() {}

    /** Returns the device's twin. */
    static Twin twin(InternalClient client) throws Exception {
        Acknowledged request = new Acknowledged();
        client.getTwinAsync(request, null);
        return Twin.createFromPropertiesJson(new String(request.await().getBytes(), StandardCharsets.UTF_8));
    }

    /** Reports properties, and returns the status and the version of the response. */
    static Object[] report(InternalClient client, TwinCollection properties) throws Exception {
        Acknowledged request = new Acknowledged();
        client.updateReportedPropertiesAsync(properties, request, null);
        IotHubTransportMessage response = request.await();
        return new Object[] {response.getStatus(), response.getVersion()};
    }

    private IotHubTransportMessage await() throws Exception {
        return response.get(30, TimeUnit.SECONDS);
    }

    @Override
    public void onResponseAcknowledged(Message message, Object context) {
        response.complete((IotHubTransportMessage) message);
    }

    @Override
    public void onRequestQueued(Message message, Object context) {}

    @Override
    public void onRequestSent(Message message, Object context) {}

    @Override
    public void onRequestAcknowledged(Message message, Object context, IotHubClientException error) {}

    @Override
    public void onResponseReceived(
            Twin twin, Message message, Object context, IotHubStatusCode status, IotHubClientException error) {}

    @Override
    public void onResponseReceived(
            Message message,
            Object context,
            IotHubStatusCode status,
            ReportedPropertiesUpdateResponse response,
            IotHubClientException error) {}
}
