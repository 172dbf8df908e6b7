"""What evaluation keys will take in memory, before a byte of them is read."""

from __future__ import annotations

from fhe_core.container import Header
from fhe_core.formats.ciphertexts import ParameterLoader, key_specifications, parameters_of
from fhe_core.parameters import presets
from fhe_face.engine import key_memory


def key_memory_bytes(header: Header, load: ParameterLoader = presets.load) -> int:
    """Bytes of expanded evaluation keys, from the header of their file alone; an engine may need
    fewer of them, never more.

    Raises:
        ContainerError: the file cannot be used; it is as `load_evaluation_keys` says.
    """
    parameters = parameters_of(header, load)
    return key_memory(key_specifications(header, parameters), parameters)
