"""Writes what TensorFlow Serving needs: python -m export.deploy --platform=docker|kubernetes

Into --output: config/models.config, config/batching_parameters.cpu.txt and .gpu.txt,
config/monitoring.config, and a docker compose file or Kubernetes manifests that use them.
"""

from __future__ import annotations

from export.deploy import files
from export.deploy.options import DeployOptions
from input_pipeline.commands.command import run_command
from input_pipeline.commands.shell import command_line
from input_pipeline.files import filesystem
from input_pipeline.files.temporary_directory import temporary_directory

_NEXT = {
    "docker": ("docker", "compose", "--file", "{output}/docker-compose.yaml", "up"),
    "kubernetes": ("kubectl", "apply", "--kustomize", "{output}"),
}


def deploy(deploy_options: DeployOptions) -> list[str]:
    """Writes the files and returns their paths.

    Raises:
      ValueError: a model has no version, or `output` exists.
    """
    output = deploy_options.output
    if filesystem.exists(output):
        raise ValueError(f"--output: must not exist yet, got {output}")
    rendered = files.render(deploy_options)
    temporary = temporary_directory(output)
    try:
        for name, text in rendered.items():
            path = filesystem.join(temporary, name)
            filesystem.make_dirs(path.rpartition("/")[0])
            filesystem.write_text(path, text)
        filesystem.publish(temporary, output)
    finally:
        filesystem.remove_tree(temporary)
    return [filesystem.join(output, name) for name in rendered]


def _deploy(deploy_options: DeployOptions) -> None:
    for path in deploy(deploy_options):
        print(path)
    parts = (part.format(output=deploy_options.output) for part in _NEXT[deploy_options.platform])
    print(f"next: {command_line(*parts)}")


def main() -> None:
    """The command."""
    run_command(_deploy, DeployOptions, doc=__doc__)


if __name__ == "__main__":
    main()
