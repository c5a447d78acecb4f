// Starts one real Elasticsearch 7.17 node in this JVM, on 127.0.0.1 only.
// Usage: java -cp 'classes:lib/*' Elasticsearch7Main BASE_DIR CLUSTER HTTP_PORT TRANSPORT_PORT
//
// Elastic publishes the server's jars, but no distribution that a build tool can fetch.
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.Plugin;

public class Elasticsearch7Main {
    // Of the modules of a distribution those that are published.
    static final List<String> MODULES = List.of(
        "org.elasticsearch.transport.Netty4Plugin",
        "org.elasticsearch.reindex.ReindexPlugin",
        "org.elasticsearch.index.mapper.MapperExtrasPlugin");

    static final class OpenNode extends Node { // the constructor that takes plug-ins is protected
        OpenNode(Environment environment, List<Class<? extends Plugin>> plugins) {
            super(environment, plugins, false);
        }
    }

    public static void main(String[] a) throws Exception {
        List<Class<? extends Plugin>> plugins = new ArrayList<>();
        for (String module : MODULES) {
            plugins.add(Class.forName(module).asSubclass(Plugin.class));
        }
        Path home = Path.of(a[0]);
        Files.createDirectories(home.resolve("config"));
        Settings settings = Settings.builder()
            .put("path.home", home.toString())
            .put("cluster.name", a[1])
            .put("node.name", "node-1")
            .put("network.host", "127.0.0.1")
            .put("http.port", a[2])
            .put("transport.port", a[3])
            .putList("discovery.seed_hosts", "127.0.0.1:" + a[3])
            .putList("cluster.initial_master_nodes", "node-1")
            // A nearly full disk must not turn the index read-only.
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
        Node node = new OpenNode(InternalSettingsPreparer.prepareEnvironment(
            settings, Map.of(), home.resolve("config"), () -> "node-1"), plugins);
        // SIGTERM: close the node before the JVM halts.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception e) {
                e.printStackTrace();
            }
        }));
        node.start();
        Thread.currentThread().join();
    }
}
