"""Names in pickles of weights, and which of them stand for plain values."""

import pickle
import re
import sys

import torch

# How a file of torch before 1.6 begins, and a storage inside a pickle: its magic number.
LEGACY_TORCH = pickle.dumps(torch.serialization.MAGIC_NUMBER, 2)
# Numbers and booleans that torch has, and text; no objects, records or sub-arrays.
PLAIN_DTYPE = re.compile(r"[=|]?(?:[iu][1248]|f[248]|c8|c16|b1|\?|[US]\d{1,5})")
NATIVE = "<" if sys.byteorder == "little" else ">"
# The same names by Python 2, NumPy 1 and NumPy 2.
MODULES = {
    "__builtin__": "builtins",
    "numpy.core.multiarray": "numpy",
    "numpy._core.multiarray": "numpy",
    "numpy.core.numeric": "numpy",
    "numpy._core.numeric": "numpy",
    "copy_reg": "copyreg",
    "pathlib._local": "pathlib",
}
# Kinds of containers and settings that training scripts store beside weights. They are read as
# dictionaries of their items and attributes: nobody here needs more of them.
MAPPINGS = (
    "builtins.dict",
    "argparse.Namespace",
    "types.SimpleNamespace",
    "collections.Counter",
    "collections.defaultdict",
    "addict.addict.Dict",
    "easydict.EasyDict",
    *(f"{place}.CfgNode" for place in ("yacs.config", "fvcore.common.config")),
    "detectron2.config.config.CfgNode",
    *(f"{library}.config.ConfigDict" for library in ("mmcv.utils", "mmengine.config")),
    "pytorch_lightning.utilities.parsing.AttributeDict",
    *(
        f"{library}.utilities.data.AttributeDict"
        for library in ("lightning_fabric", "lightning.fabric")
    ),
)
PATHS = [f"pathlib.{kind}Path" for kind in ("", "Posix", "Windows", "PurePosix", "PureWindows")]
# Names that only say what something is: they stand in arguments and are not called.
TEXTS = (
    *(f"builtins.{name}" for name in ("object", "int", "long", "float", "bool", "str", "unicode")),
    "numpy.ndarray",
    "torch.Tensor",
    *(f"torch.nn.parameter.{name}" for name in ("Parameter", "Buffer")),
)
# By what torch calls them today, and by the storages of old: all of one type.
TORCH_TYPES = {f"torch.{n}": kind for n, kind in vars(torch).items() if type(kind) is torch.dtype}
TORCH_TYPES |= {
    f"torch.{name}Storage": kind
    for name, kind in {
        "Float": torch.float32,
        "Double": torch.float64,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
        "ComplexFloat": torch.complex64,
        "ComplexDouble": torch.complex128,
    }.items()
}
TORCH_TYPES["torch.storage.UntypedStorage"] = torch.uint8
OTHER_TENSORS = (
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_sparse_tensor",
    "torch.serialization._get_layout",
    *(f"torch.{name}Storage" for name in ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4")),
)
