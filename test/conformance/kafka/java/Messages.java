import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.Base64;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.requests.RequestUtils;

/**
 * Frames made by Kafka's own classes. Lines in: key of the API, version, "Request" or "Response", the message as Kafka
 * writes it in JSON. Lines out: the frame without its length, in base64, and the message as it was read from the frame.
 */
public class Messages {
    public static void main(String[] args) throws Exception {
        ObjectMapper mapper = new ObjectMapper();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] parts = line.split(" ", 4);
            ApiKeys api = ApiKeys.forId(Short.parseShort(parts[0]));
            short version = Short.parseShort(parts[1]);
            boolean isRequest = parts[2].equals("Request");
            String data = "org.apache.kafka.common.message." + api.messageType.name + parts[2] + "Data";
            Class<?> converter = Class.forName(data + "JsonConverter");
            Object message = converter
                .getMethod("read", JsonNode.class, short.class)
                .invoke(null, mapper.readTree(parts[3]), version);
            ByteBuffer frame = isRequest
                ? RequestUtils.serialize(requestHeader(api, version), api.requestHeaderVersion(version),
                    (Message) message, version)
                : RequestUtils.serialize(new ResponseHeaderData().setCorrelationId(correlationId),
                    api.responseHeaderVersion(version), (Message) message, version);
            byte[] bytes = new byte[frame.remaining()];
            frame.get(bytes);
            JsonNode told = (JsonNode) converter
                .getMethod("write", Class.forName(data), short.class)
                .invoke(null, message, version);
            System.out.println(Base64.getEncoder().encodeToString(bytes) + " " + mapper.writeValueAsString(told));
        }
    }

    private static final int correlationId = 77;

    private static RequestHeaderData requestHeader(ApiKeys api, short version) {
        return new RequestHeaderData()
            .setRequestApiKey(api.id)
            .setRequestApiVersion(version)
            .setCorrelationId(correlationId)
            .setClientId("java");
    }
}
