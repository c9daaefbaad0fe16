import pytest
import torch

from stemma.errors import StemmaError
from stemma.train.parallel import training_device


def test_a_gpu_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", str(torch.cuda.device_count()))
    with pytest.raises(StemmaError, match="this rank needs GPU"):
        training_device("cuda")
