// Starts one real OpenSearch node in this JVM, on 127.0.0.1 only.
// Usage: java -cp 'lib/*' OpenSearchMain BASE_DIR CLUSTER HTTP_PORT TRANSPORT_PORT
//
// The runner has a command line of its own, but that one counts ports upwards
// silently when one is busy and binds ::1 too; a recording needs one known node.
import java.util.List;
import org.codelibs.opensearch.runner.OpenSearchRunner;

public class OpenSearchMain {
    public static void main(String[] a) throws Exception {
        int http = Integer.parseInt(a[2]);
        int transport = Integer.parseInt(a[3]);
        OpenSearchRunner runner = new OpenSearchRunner();
        runner.setMaxHttpPort(65535); // the runner's own limit is 9299
        runner.onBuild((id, s) -> {
            s.put("network.host", "127.0.0.1");
            s.put("http.port", http);
            s.put("transport.port", transport);
            s.put("discovery.type", "zen"); // newer runners preset single-node
            s.putList("discovery.seed_hosts", List.of("127.0.0.1:" + transport));
            s.putList("cluster.initial_cluster_manager_nodes", "Node 1");
            // A nearly full disk must not turn the index read-only.
            s.put("cluster.routing.allocation.disk.threshold_enabled", false);
            s.putList("node.roles", "cluster_manager", "data", "ingest");
        });
        // SIGTERM: close the node before the JVM halts.
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                runner.close();
            } catch (Exception e) {
                e.printStackTrace();
            }
        }));
        runner.build(new String[] {"-basePath", a[0], "-clusterName", a[1],
            "-numOfNode", "1", "-baseHttpPort", String.valueOf(http - 1)});
        Thread.currentThread().join();
    }
}
