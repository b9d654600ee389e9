"""Speed and memory of the trainer beside its peers.

| module | content |
|---|---|
| `rows` | generated training rows |
| `epochs` | seconds per epoch |
| `fits` | whole fits, from table to model file |
| `memory`, `preparation` | a table of a million rows: memory, and seconds of each step |
| `page`, `chart` | the results |
"""
