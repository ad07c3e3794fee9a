"""The SFT data set: verl's own, with the tokens and the loss mask of a rollout."""

from typing import Any

import torch
from verl.utils.dataset.multiturn_sft_dataset import (
    MultiTurnSFTDataset,
    convert_nested_value_to_list_recursive,
)

from recipe.retool.env.dialogue import Dialogues
from recipe.retool.env.guard import Guard
from recipe.retool.env.registry import env_of
from recipe.retool.errors import ConfigError, DataError
from recipe.retool.verl_ext.plain import plain


class CustomSFTDataset(MultiTurnSFTDataset):
    """Rows of ``retool data sft`` (or any parquet with ``messages`` and ``tools``).

    Differences from ``verl.utils.dataset.multiturn_sft_dataset.MultiTurnSFTDataset``: any environment of
    ``retool.env.name``; several answers of tools in a row; the loss mask ends with the end-of-turn token; an
    overlong row is named.
    """

    def __init__(self, parquet_files: Any, tokenizer: Any, config: Any, *more: Any, **kwargs: Any) -> None:
        super().__init__(parquet_files, tokenizer, config, *more, **kwargs)
        if self.pad_mode != "no_padding":
            raise ConfigError(
                f"data.pad_mode={self.pad_mode}: the recipe's SFT data set knows no_padding alone"
            )
        env = env_of(plain(config.get("env")), guard=Guard.of(self.tokenizer))
        self._dialogues = Dialogues(self.tokenizer, env, self.apply_chat_template_kwargs)

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        """``input_ids``, ``position_ids`` and ``loss_mask`` of one dialogue, each of shape (tokens,).

        Raises:
            DataError: The row cannot be turned into tokens, or is too long and ``data.truncation=error``.
        """
        messages = convert_nested_value_to_list_recursive(self.messages[item])
        schemas = convert_nested_value_to_list_recursive(self.tools[item]) if self.tools is not None else None
        try:
            found = self._dialogues.tokens([_without_nulls(m) for m in messages], schemas, **self._more(item))
        except DataError as error:
            raise DataError(f"row {item} of {self._files()}: {error}") from error
        ids, mask = found.ids, [0] * len(found.prompt_ids) + found.response_mask
        if len(ids) > self.max_length and self.truncation == "error":
            raise DataError(
                f"row {item} of {self._files()} has {len(ids)} tokens, data.max_length is {self.max_length}: "
                "raise it, or set data.truncation=right"
            )
        keep = slice(-self.max_length, None) if self.truncation == "left" else slice(self.max_length)
        return {
            "input_ids": torch.tensor(ids)[keep],
            "position_ids": torch.arange(min(len(ids), self.max_length)),
            "loss_mask": torch.tensor(mask)[keep],
        }

    def _more(self, item: int) -> dict[str, Any]:
        if self.enable_thinking is not None:
            return {"enable_thinking": bool(self.enable_thinking[item])}
        default = getattr(self, "enable_thinking_default", None)
        return {"enable_thinking": default} if isinstance(default, bool) else {}

    def _files(self) -> str:
        return ", ".join(map(str, self.parquet_files))


def _without_nulls(message: dict[str, Any]) -> dict[str, Any]:
    """Parquet gives every message all columns; templates take ``tool_calls: null`` for a call."""
    return {key: value for key, value in message.items() if value is not None}
