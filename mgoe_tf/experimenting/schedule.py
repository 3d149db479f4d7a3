"""Everything that the experiments run, from their options: runs, data sets and exports as jobs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from input_pipeline.files import filesystem
from mgoe_tf.experimenting import data_sets
from mgoe_tf.experimenting.data_sets import DataSet
from mgoe_tf.experimenting.jobs import Failure, Job
from mgoe_tf.experimenting.options import ExperimentOptions
from mgoe_tf.experimenting.plans import RIVAL, SUBJECT, Setting
from mgoe_tf.experimenting.runs import Run, takes

# Every model is to answer by ids, however large its graph is.
_MOST_GRAPH_BYTES = 10**12
# Parts whose settings are of the model of interest alone.
_OF_SUBJECT = ("ablations", "temperature", "groups", "omegas")


@dataclasses.dataclass
class Schedule:
    """What there is to do.

    Attributes:
      options: of the experiments.
      data: the data sets of the tables.
      runs: in the order in which they are begun: the first table's first, seed by seed.
      preparations: of data sets made for some of the runs.
      refused: what is planned and cannot be done, and why.
      notes: what a reader of the page has to know of the runs.
    """

    options: ExperimentOptions
    data: tuple[DataSet, ...]
    runs: list[Run] = dataclasses.field(default_factory=list)
    preparations: dict[str, Job] = dataclasses.field(default_factory=dict)
    refused: list[Failure] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, options: ExperimentOptions, data: Sequence[DataSet]) -> Schedule:
        """Plans everything, and looks whether what is there already is of the same flags.

        Raises:
          ValueError: a flag is wrong; `output` holds runs of other flags.
        """
        schedule = cls(options, tuple(data))
        for seed in options.chosen_seeds:
            for one in data:
                schedule.runs += [schedule.run(one, m, seed) for m in options.chosen_models]
        for part in options.chosen_parts:
            for one in data:
                for setting in schedule.settings(part):
                    schedule.runs += schedule._of_setting(part, one, setting)
        for one in data:
            schedule._tell_untuned(one)
        schedule.runs = list(dict.fromkeys(schedule.runs))
        for run in schedule.runs:
            run.options()
            run.require_same()
        return schedule

    @property
    def subject(self) -> str:
        """The model whose lead is told: MGOE, or the first one where it is not there."""
        models = self.options.chosen_models
        return SUBJECT if SUBJECT in models else models[0]

    def settings(self, part: str) -> tuple[Setting, ...]:
        """Of a part, that the experiments have."""
        if part in _OF_SUBJECT and SUBJECT not in self.options.chosen_models:
            return ()
        return self.options.sizes.settings(part) if part in self.options.chosen_parts else ()

    def flags(self, data: str, model: str) -> tuple[str, ...]:
        """Of training a model on a data set, without those of a setting."""
        tuned = self._flagfile(data, model)
        flagfile = (f"--flagfile={tuned}",) if tuned else ()
        return (*self.options.sizes.train, *flagfile, *self.options.train_flags)

    def _flagfile(self, data: str, model: str) -> str:
        """What a study found best for a model; "": there is no such thing."""
        study = self.options.study_of(data)
        path = filesystem.join(study, model, "best.flags") if study else ""
        return path if path and filesystem.exists(path) else ""

    def _tell_untuned(self, data: DataSet) -> None:
        if not self.options.study_of(data.name):
            return
        found = [m for m in self.options.chosen_models if not self._flagfile(data.name, m)]
        if found:
            self.notes.append(f"{data.name}: not tuned, with default flags: {', '.join(found)}")

    def run(self, data: DataSet, model: str, seed: int) -> Run:
        """A run of the first table."""
        flags = self.flags(data.name, model)
        return Run(data.name, data.data_dir, model, "", seed, flags, self.options.output)

    def run_of(self, data: DataSet, model: str, seed: int, setting: Setting) -> Run:
        """A run with a setting: that of the first table where the setting is what it has anyway."""
        base = self.run(data, model, seed)
        if setting.preparation:
            if data.is_prepared_so(setting.preparation):
                return base
            return dataclasses.replace(
                base,
                setting=setting.name,
                data_dir=data_sets.variant_dir(data, setting, self.options.output),
                prepared_by=self._preparation_name(data, setting),
            )
        run = dataclasses.replace(base, setting=setting.name, flags=(*base.flags, *setting.train))
        if unknown_flags(model, setting):
            return run
        names = ("model_dir", "resume")
        ours, theirs = (
            {name: value for name, value in one.options().items() if name not in names}
            for one in (run, base)
        )
        return base if ours == theirs else run

    def _preparation_name(self, data: DataSet, setting: Setting) -> str:
        return f"preparing {data.name} {setting.title}"

    def models_of(self, part: str) -> tuple[str, ...]:
        """Those whose runs a part has."""
        models = self.options.chosen_models
        if part in _OF_SUBJECT:
            return (self.subject,)
        if self.options.sizes.every_model_in_protocols:
            return models
        rivals = sorted((m for m in models if m != self.subject), key=lambda m: m != RIVAL)
        return (self.subject, *rivals[:1])

    def seeds_of(self, part: str) -> tuple[int, ...]:
        """Those that a part's runs have."""
        options = self.options
        every_seed = part == "ablations" and options.sizes.ablations_of_every_seed
        return options.chosen_seeds if every_seed else options.fewer_seeds

    def _of_setting(self, part: str, data: DataSet, setting: Setting) -> Iterator[Run]:
        """Its runs; where there can be none, why goes to `refused`."""
        models = self.models_of(part)
        name = f"{data.name} {setting.title}"
        unknown = unknown_flags(models[0], setting)
        if unknown:
            self.refused.append(Failure(name, f"{models[0]} has no flags {unknown}"))
            return
        runs = [
            self.run_of(data, model, seed, setting)
            for seed in self.seeds_of(part)
            for model in models
        ]
        needed = next((run.prepared_by for run in runs if run.prepared_by), "")
        if needed and needed not in self.preparations:
            try:
                job = data_sets.variant(data, setting, self.options.output)
            except ValueError as error:
                self.refused.append(Failure(name, f"the log cannot be prepared again: {error}"))
                return
            self.preparations[needed] = dataclasses.replace(job, name=needed)
        yield from runs

    def exports(self) -> list[Job]:
        """SavedModels of every model of the first table, of the first seed."""
        if "timing" not in self.options.chosen_parts:
            return []
        jobs = []
        for data in self.data:
            for model in self.options.chosen_models:
                run = self.run(data, model, self.options.chosen_seeds[0])
                path = self.export_dir(data.name, model)
                flags = (
                    f"--model_dir={run.model_dir}",
                    f"--data_dir={run.data_dir}",
                    f"--export_base={self._export_base(data.name)}",
                    f"--model_name={model}",
                    "--version=1",
                    f"--max_graph_bytes={_MOST_GRAPH_BYTES}",
                )
                jobs.append(
                    Job(
                        name=f"export of {run.name}",
                        arguments=("export.savedmodel", *flags),
                        log=filesystem.join(
                            self.options.output, "logs", f"export-{data.name}-{model}.log"
                        ),
                        is_done=lambda path=path: filesystem.exists(path),  # type: ignore[misc]
                        needs=run.name,
                    )
                )
        return jobs

    def _export_base(self, data: str) -> str:
        return filesystem.join(self.options.output, "exports", data)

    def export_dir(self, data: str, model: str) -> str:
        """Where the SavedModel of a model of the first table is."""
        return filesystem.join(self._export_base(data), model, "1")

    def jobs(self) -> list[Job]:
        """All of it, in order: the first table, what has to be prepared, the other runs, exports.

        What takes longest to wait for, preparations, comes before the last runs of the table are
        finished.
        """
        table = [run.job() for run in self.runs if not run.setting]
        others = [run.job() for run in self.runs if run.setting]
        return [*table, *self.preparations.values(), *self.exports(), *others]


def unknown_flags(model: str, setting: Setting) -> list[str]:
    """The flags of training of a setting that a model does not have."""
    return [flag for flag in setting.train if not takes(model, flag)]
