"""The RL and evaluation data set: verl's own, with its silent failures made loud."""

from collections.abc import Mapping
from typing import Any

from verl.utils.dataset.rl_dataset import RLHFDataset

from recipe.retool.data.rl import AGENT_NAME
from recipe.retool.env.registry import env_of
from recipe.retool.errors import ConfigError, DataError
from recipe.retool.verl_ext.bridge import tool_source
from recipe.retool.verl_ext.plain import plain

REQUIRED_COLUMNS = ("prompt", "data_source", "reward_model")


class CustomRLHFDataset(RLHFDataset):
    """Rows of ``retool data rl|eval`` (or any parquet with verl's columns).

    ``max_samples``, ``shuffle``, ``filter_overlong_prompts``, ``truncation`` and resume are those of
    ``verl.utils.dataset.rl_dataset.RLHFDataset``. Differences, each for something that verl 0.9.1 lets
    pass in silence:

    * tools that do not load are an error (verl warns and then counts prompts without the schema);
    * ``truncation=error`` without filtering refuses an overlong prompt before training starts
      (verl cuts it on the left in the middle of a step);
    * a missing column and an empty result are errors that name the file, and so is a tool in
      ``extra_info.tool_selection`` that the tool config does not have (verl leaves it out).
    """

    def _read_files_and_tokenize(self) -> None:
        where = tool_source(self)
        if where and self.tool_schemas is None:
            raise ConfigError(f"the tools of {where} do not load (reason in the log above)")
        self._tool_names = {str(schema["function"]["name"]) for schema in self.tool_schemas or ()}
        super()._read_files_and_tokenize()
        missing = [name for name in REQUIRED_COLUMNS if name not in self.dataframe.column_names]
        if missing:
            raise DataError(f"{self._files()}: no column {missing[0]!r}; write it with `retool data rl|eval`")
        if len(self.dataframe) == 0:
            raise DataError(
                f"{self._files()}: no row is left (data.max_prompt_length={self.max_prompt_length} tokens, "
                "tool schema included)"
            )

    def _check_media(self, dataframe: Any) -> None:
        """Refuse rows with pictures or films: the recipe's agent loop would leave them out."""
        for key in (self.image_key, self.video_key):
            if key not in dataframe.column_names:
                continue
            agents = dataframe["agent_name"] if "agent_name" in dataframe.column_names else []
            names = [*agents, *[None] * (len(dataframe) - len(agents))]
            for number, (media, agent) in enumerate(zip(dataframe[key], names, strict=True)):
                if media and agent in (None, AGENT_NAME):
                    raise DataError(
                        f"{self._files()}: row {number}: column {key!r} is not empty, and {AGENT_NAME} knows "
                        "text alone: set the row's agent_name to a loop of verl's, or remove the column"
                    )

    def _check_selection(self, dataframe: Any) -> None:
        """Refuse rows that choose among the tools by a name that is not there."""
        extra = dataframe.features.get("extra_info")
        if not self._tool_names or not isinstance(extra, Mapping) or "tool_selection" not in extra:
            return
        for number, info in enumerate(dataframe["extra_info"]):
            wanted = (info or {}).get("tool_selection")
            if isinstance(wanted, str) or not set(wanted or ()) <= self._tool_names:
                raise DataError(
                    f"{self._files()}: row {number}: extra_info.tool_selection={wanted!r} must be a list of "
                    f"names of the tool config: {', '.join(sorted(self._tool_names))}"
                )

    def maybe_filter_out_long_prompts(self, dataframe: Any = None) -> Any:
        """Filter, or with ``truncation=error`` and no filter, refuse rows above ``max_prompt_length``.

        Prompts are counted, and handed on, as the environment announces its tools.
        """
        self._check_selection(dataframe)
        self._check_media(dataframe)
        dataframe = self._announced(dataframe)
        before = len(dataframe)
        self.filter_overlong_prompts: bool
        if self.filter_overlong_prompts or self.truncation != "error":
            return super().maybe_filter_out_long_prompts(dataframe)
        self.filter_overlong_prompts = True
        try:
            kept = super().maybe_filter_out_long_prompts(dataframe)
        finally:
            self.filter_overlong_prompts = False
        if len(kept) < before:
            raise DataError(
                f"{self._files()}: {before - len(kept)} of {before} prompts exceed data.max_prompt_length="
                f"{self.max_prompt_length} tokens (tool schema included): raise it, or set "
                "data.filter_overlong_prompts=True"
            )
        return dataframe

    def _announced(self, dataframe: Any) -> Any:
        env = env_of(plain(self.config.get("env")))
        schemas: Any = self.tool_schemas
        self.tool_schemas: Any = env.announce([], schemas)[1]
        probe = [{"role": "user", "content": "question"}]
        if env.announce(probe, None)[0] == probe:
            return dataframe
        key = self.prompt_key
        return dataframe.map(lambda row: {key: env.announce(row[key], None)[0]}, desc="Announcing the tools")

    def _files(self) -> str:
        return ", ".join(str(name) for name in self.original_data_files)
