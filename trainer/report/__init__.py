"""The report: one HTML file for people, with the figures that ``trainer.evaluation`` computes.

Only this package imports matplotlib and Jinja. Both take a while to import, so other modules import
this package when there is a report to write.
"""
