// Starts one real Elasticsearch 8 node (server and HTTP only) in this JVM, on 127.0.0.1 only.
// Usage: java -cp 'classes:lib/*' Elasticsearch8Main BASE_DIR CLUSTER HTTP_PORT TRANSPORT_PORT MODULES
//   MODULES  a folder with one folder for each module, as in a distribution
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginsLoader;

public class Elasticsearch8Main {
    public static void main(String[] a) throws Exception {
        LogConfigurator.configureESLogging();
        Path home = Path.of(a[0]);
        Files.createDirectories(home.resolve("config"));
        Files.createSymbolicLink(home.resolve("modules"), Path.of(a[4]));
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
        Environment environment = InternalSettingsPreparer.prepareEnvironment(
            settings, Map.of(), home.resolve("config"), () -> "node-1");
        // false: the server's jar is on the class path and has no module exports to add.
        PluginsLoader loader = PluginsLoader.createPluginsLoader(
            PluginsLoader.loadModulesBundles(environment.modulesDir()),
            PluginsLoader.loadPluginsBundles(environment.pluginsDir()), Map.of(), false);
        Node node = new Node(environment, loader);
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
