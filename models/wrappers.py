"""A network's tensors in what training programs wrap around them: containers and prefixes.

DataParallel puts "module." before every name, torch.compile "_orig_mod.", Lightning keeps the
names below those of its own module and the whole under "state_dict".
"""

from collections.abc import Mapping
from typing import Any, Final

#: A tensor that every CryptoFaceNet has.
_SURE: Final = "nets.0.conv.weight"
#: Parts of names that only say who saved the file; no tensor of ours has them.
_ADDED: Final = ("module", "_orig_mod")
_SHOWN: Final = 3


def state_dict_in(content: object) -> Mapping[Any, Any] | None:
    """The state dict of a torch file: under "backbone", the whole, or the one entry that has it.

    None where there is none, ValueError where several entries look like one.
    """
    if not isinstance(content, Mapping):
        return None
    official = content.get("backbone")
    if isinstance(official, Mapping):
        return official
    if _has_network(content):
        return content
    found = [name for name, value in content.items() if _has_network(value)]
    if len(found) > 1:
        names = ", ".join(repr(name) for name in found[:_SHOWN])
        raise ValueError(f'several state dicts ({names}); save the one to use as "backbone"')
    return content[found[0]] if found else None


def unwrapped(state: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors under CryptoFaceNet's own names: what was put before all of them is taken off.

    ValueError: tensors of something else are among them, or two get one name. A state dict that
    is no CryptoFaceNet's comes back as it is.
    """
    names = {name: _bare(name) for name in state}
    ends = [bare for bare in names.values() if _ends_surely(bare)]
    prefix = ends[0].removesuffix(_SURE) if ends else ""
    if not ends or (not prefix and all(name == bare for name, bare in names.items())):
        return dict(state)
    others = [name for name, bare in names.items() if not bare.startswith(prefix)]
    if others:
        shown = ", ".join(repr(name)[:60] for name in others[:_SHOWN])
        raise ValueError(
            f"a network under {prefix!r} and {len(others)} tensors of something else ({shown}): "
            f"save only those that begin with {prefix!r}"
        )
    found = {bare.removeprefix(prefix): state[name] for name, bare in names.items()}
    if len(found) < len(state):
        raise ValueError(f"two tensors have one name without {' or '.join(_ADDED)}")
    return found


def described(state: Mapping[str, Any]) -> str:
    """What was found, for the error about a state dict that is not a CryptoFaceNet's."""
    names = [repr(name)[:60] for name in list(state)[:_SHOWN]]
    more = ", ..." if len(state) > _SHOWN else ""
    return f"it holds {len(state)} tensors: {', '.join(names)}{more}"


def _has_network(value: object) -> bool:
    return isinstance(value, Mapping) and any(
        isinstance(name, str) and _ends_surely(_bare(name)) for name in value
    )


def _ends_surely(name: str) -> bool:
    return name == _SURE or name.endswith(f".{_SURE}")


def _bare(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _ADDED)
