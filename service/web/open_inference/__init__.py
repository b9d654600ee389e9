"""The Open Inference Protocol (V2): tensors, metadata, statistics and the model repository.

Must never know another protocol's folder.
"""
