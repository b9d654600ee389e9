"""The report: one HTML file for people. Draws and writes what `trainer.evaluation` works out.

The only place that knows matplotlib and Jinja; both take a while to import, so nothing imports this
before there is a report to write.
"""
