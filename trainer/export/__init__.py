"""The model file: written, compared with the network, published. The contract's other half."""
