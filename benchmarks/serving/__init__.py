"""The service beside its peers: the same model files, rows and load generator.

| module | content |
|---|---|
| `models`, `protocols`, `loads` | model files, requests and responses, load levels |
| `servers` | how each server is installed and started |
| `measurement` | one server with one model: started, loaded, stopped |
| `comparison` | all servers in rounds |
| `against` | an earlier commit of the service against the working tree |
| `bare_runtime` | the ONNX runtime without a server |
| `targets`, `page`, `chart` | the results |
| `load` | wrk, process trees, the service as a process |
| `studies` | programs that measure the service alone |

The service is started by its command line. `constant` and `studies.tracing_cost` alone import it.
"""
