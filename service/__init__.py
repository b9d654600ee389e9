"""The prediction service: loads ONNX classifiers and answers HTTP requests with them.

It has three layers, and each knows only the layers below: ``web`` (HTTP), ``serving`` (models at
work) and ``model`` (one model). ``app.Service`` puts them together. Never imports the trainer.
"""
