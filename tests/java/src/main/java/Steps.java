import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonPrimitive;
import com.google.gson.JsonSerializer;
import com.microsoft.azure.sdk.iot.service.exceptions.IotHubException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;

/** Prints one line of JSON for each step. The test compares the lines. */
final class Steps {
    // The SDKs read each number of a twin as a double. Whole numbers are printed without a fraction.
    private static final Gson JSON = new GsonBuilder()
            .serializeNulls()
            .registerTypeAdapter(Double.class, (JsonSerializer<Double>) (number, type, context) ->
                    number == number.longValue() ? new JsonPrimitive(number.longValue()) : new JsonPrimitive(number))
            .create();

    private Steps() {}

    /** Runs a program to its end. Threads of the SDKs would keep a failed one alive. */
    static void run(Program program) {
        Thread watch = new Thread(() -> {
            try {
                Thread.sleep(120_000);
            } catch (InterruptedException end) {
                return;
            }
            show("failed", "not at its end after 120 s");
            Runtime.getRuntime().halt(1);
        });
        watch.setDaemon(true);
        watch.start();
        try {
            program.run();
            System.exit(0);
        } catch (Throwable error) {
            error.printStackTrace();
            show("failed", error.toString());
            System.exit(1);
        }
    }

    interface Program {
        void run() throws Exception;
    }

    static void show(String step, Object value) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("step", step);
        line.put("value", value);
        System.out.println(JSON.toJson(line));
        System.out.flush();
    }

    /** Prints the class of the exception that the hub's refusal becomes, with its code and the name of the code. */
    static void showRefusal(String step, Callable<?> call) throws Exception {
        try {
            call.call();
            show(step, "accepted");
        } catch (IotHubException refusal) {
            show(step, new Object[] {
                refusal.getClass().getSimpleName(), refusal.getErrorCode(), refusal.getErrorCodeDescription()
            });
        }
    }
}
