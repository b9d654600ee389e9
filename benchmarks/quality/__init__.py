"""Scores and seconds of the trainer and its peers over a folder of tables.

| module | content |
|---|---|
| `tables`, `splits` | the tables, and one split of each for all methods |
| `methods` | a method fits and predicts a split in a process of its own |
| `scores` | scores of predictions, computed in the same way for all methods |
| `records` | stored results, so that a second call measures only what is missing |
| `summary`, `page`, `chart` | means, ranks and comparisons; how they are shown |
"""
