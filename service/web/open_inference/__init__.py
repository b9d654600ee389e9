"""The Open Inference Protocol (V2): tensors, metadata, statistics and the model repository.

Must not import another protocol's folder.
"""
