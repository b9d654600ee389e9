"""The prediction service: loads ONNX classifiers and answers HTTP requests with them.

Three floors, each of which knows only those below it: ``web`` (HTTP), ``serving`` (models at work)
and ``model`` (what a model is). ``app.create_app`` puts them together. Never imports the trainer.
"""
