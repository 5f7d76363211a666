"""A small convolutional net in training, as somebody has it who knows nothing of trainfit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

BATCH = 8
WIDTH = 8


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, WIDTH, 3, padding=1)
        self.norm1 = torch.nn.BatchNorm2d(WIDTH)
        self.conv2 = torch.nn.Conv2d(WIDTH, 2 * WIDTH, 3, padding=1)
        self.norm2 = torch.nn.BatchNorm2d(2 * WIDTH)
        self.head = torch.nn.Linear(2 * WIDTH * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(functional.relu(self.norm1(self.conv1(x))), 2)
        x = functional.max_pool2d(functional.relu(self.norm2(self.conv2(x))), 2)
        return self.head(x.flatten(1))


class Trainer:
    def __init__(self) -> None:
        torch.manual_seed(0)
        images, labels = torch.rand(256, 1, 16, 16), torch.randint(0, 10, (256,))
        self.loader = DataLoader(TensorDataset(images, labels), batch_size=BATCH, num_workers=0)
        self.batches = iter(self.loader)
        self.net = Net()
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3)

    def next_batch(self) -> list[torch.Tensor]:
        batch = next(self.batches, None)
        if batch is None:
            self.batches = iter(self.loader)
            batch = next(self.batches)
        return batch

    def step(self) -> None:
        x, y = self.next_batch()
        out = self.net(x)
        loss = functional.cross_entropy(out, y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def make_step() -> Callable[[], None]:
    return Trainer().step
