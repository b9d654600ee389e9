"""Epochs of a PyTorch training loop, with batches from a permutation instead of a DataLoader."""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from epochs import Job
from torch import nn


def network(job: Job) -> nn.Sequential:
    """Return linear layers with the job's initial weights, and ReLU between them."""
    layers: list[nn.Module] = []
    for kernel, bias in job.layers:
        layer = nn.Linear(*kernel.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(kernel.T.copy()))
            layer.bias.copy_(torch.from_numpy(bias))
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def fit(job: Job, model: nn.Module, epochs: int) -> list[float]:
    """Train, and return the seconds of each epoch."""
    x, y = torch.from_numpy(job.x), torch.from_numpy(job.y)
    loss = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=job.learning_rate)
    seconds = []
    for _ in range(epochs):
        started = time.perf_counter()
        for batch in torch.randperm(len(x)).split(job.batch_size):
            optimizer.zero_grad(set_to_none=True)
            loss(model(x[batch]), y[batch]).backward()
            optimizer.step()
        seconds.append(time.perf_counter() - started)
    return seconds


def main() -> None:
    """Run the job in the file that the command line names."""
    job = Job.read(sys.argv[1])
    torch.manual_seed(0)
    fit(job, network(job), 1)  # warm up
    model = network(job)
    seconds = fit(job, model, job.epochs)
    with torch.no_grad():
        batches = torch.from_numpy(job.x).split(4096)
        probabilities = np.concatenate([model(batch).softmax(1).numpy() for batch in batches])
    job.finish(seconds, probabilities, torch.__version__)


if __name__ == "__main__":
    main()
