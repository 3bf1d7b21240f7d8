"""Learned object detectors in place of the embedded ones: a YOLOX-style ONNX file by its path, or a transformers detector by its name.

Source: Ge et al., YOLOX (2021), for what such a file takes and gives: pictures (1, 3, H, W) float32 BGR 0–255 in a letterbox of grey 114,
and rows (1, N, 5 + K) of centre, size, objectness and K classes, N cells of strides 8, 16 and 32 (and 64 where they are), either as
offsets within their cells and logarithms of sizes, as its exporter writes them, or already in pixels. RT-DETR, D-FINE and other
detectors of transformers are read through that library, which knows how their pictures are prepared.

Frames are (H, W, 3) uint8 RGB; boxes xyxy absolute pixels of the frame; scores 0 to 1; classes in lower case, singular, "person".
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput, MissingExtra
from models.objects import FoundObject

THRESHOLD, OVERLAP = 0.4, 0.6
"""Least score of an object, and the overlap of two boxes of a class above which only the surer one stays."""
GREY = 114
STRIDES = (8, 16, 32, 64)
USUAL_SIDE = 640
SMALLEST_LOG = 20.0
"""Logarithms of sizes lie below this, sizes in pixels of any picture's objects mostly above it."""
COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light", "fire hydrant",
    "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe",
    "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat",
    "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl",
    "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch",
    "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave",
    "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
"""Lin et al., Microsoft COCO (ECCV 2014): the 80 classes in the order of common detectors."""


class ObjectDetector(Protocol):
    """Finds objects in single frames."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes it tells apart."""

    def detect(self, rgb: NDArray[np.uint8]) -> tuple[FoundObject, ...]:
        """Objects of a frame (H, W, 3), the surest first."""


def open_detector(name: str, *, device: str = "auto") -> ObjectDetector:
    """The detector `name`: the path of an .onnx file, of a folder of transformers, or owner/name of a pulled model.

    Nothing is loaded before the first frame.

    >>> open_detector("yolo.onnx")
    Traceback (most recent call last):
    core.errors.BadInput: object detector 'yolo.onnx': there is no such file.
    """
    return OnnxObjects(Path(name)) if name.lower().endswith(".onnx") else HubObjects(name, device=device)


class OnnxObjects:
    """A YOLOX-style network from an ONNX file.

    Args:
        path: of the file; classes are the lines of a text file beside it with the same stem, else those of COCO.
        threshold: least score, objectness times class.

    Raises:
        BadInput: there is no such file (at construction); it cannot be read, takes or gives other shapes or other classes (first frame).
        MissingExtra: without onnxruntime (first frame).
    """

    def __init__(self, path: Path, *, threshold: float = THRESHOLD) -> None:
        if not path.is_file():
            raise BadInput(f"object detector {path.name!r}: there is no such file.")
        self.path, self.threshold = path, threshold

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Lines of the text file beside the network, else COCO's."""
        beside = self.path.with_suffix(".txt")
        lines = beside.read_text(encoding="utf-8").splitlines() if beside.is_file() else COCO
        return tuple(line.strip().lower() for line in lines if line.strip())

    @cached_property
    def _network(self) -> tuple[Any, str, int, int]:
        """The session, the name of its input, and that one's height and width (640 where the file leaves them open)."""
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtra.named("onnxruntime", "onnx", "object detectors from ONNX files") from error
        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(
                str(self.path), settings, providers=[
                    one for one in ("CUDAExecutionProvider", "CPUExecutionProvider") if one in onnxruntime.get_available_providers()
                ],
            )  # fmt: skip
        except Exception as error:  # its errors share no class but this one
            raise BadInput(
                f"object detector {self.path.name!r}: expected an ONNX file, but it cannot be read ({_first_line(error)})."
            ) from error
        given = session.get_inputs()[0]
        if len(given.shape) != 4 or given.shape[1] != 3 or "float" not in given.type:
            raise BadInput(
                f"object detector {self.path.name!r}: expected a network of pictures (1, 3, H, W) float32, it takes {given.shape} of "
                f"{given.type}."
            )
        high, wide = (side if isinstance(side, int) else USUAL_SIDE for side in given.shape[2:])
        return session, given.name, high, wide

    def detect(self, rgb: NDArray[np.uint8]) -> tuple[FoundObject, ...]:
        """Objects of a frame (H, W, 3), the surest first."""
        session, name, high, wide = self._network
        picture, scale = letterbox(rgb, high, wide)
        rows = np.asarray(session.run(None, {name: picture})[0])
        if rows.ndim != 3 or rows.shape[-1] != 5 + len(self.labels):
            raise BadInput(
                f"object detector {self.path.name!r}: expected rows of {5 + len(self.labels)} numbers (box, objectness, "
                f"{len(self.labels)} classes), got {rows.shape}; put the classes, one per line, into {self.path.stem}.txt beside it."
            )
        boxes, scores, classes = decoded(rows[0].astype(np.float64), high, wide)
        return _kept(boxes / scale, scores, [self.labels[int(c)] for c in classes], self.threshold, rgb.shape)


class HubObjects:
    """A detector of transformers: RT-DETR, D-FINE, DETR, YOLOS and their like.

    Args:
        name: owner/name of a pulled model, or the path of a folder with config.json and safetensors.
        threshold: least score.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        UnknownName: it is not on this machine; the message says how to get it (first use).
        BadInput: it is no object detector (first use).
    """

    def __init__(self, name: str, *, threshold: float = THRESHOLD, device: str = "auto") -> None:
        self.name, self.threshold, self.device = name, threshold, device

    @property
    def labels(self) -> tuple[str, ...]:
        """The names in the model's own configuration."""
        names = self._loaded[1].config.id2label
        return tuple(str(names[index]).lower() for index in sorted(names))

    @cached_property
    def _loaded(self) -> tuple[Any, Any, Any]:
        """Processor, model and device."""
        from transformers import AutoImageProcessor, AutoModelForObjectDetection

        from models.chat.hub import find_model
        from models.device import place

        title, folder = find_model(self.name)
        try:
            processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)  # type: ignore[no-untyped-call]
            model = AutoModelForObjectDetection.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(
                f"object detector {title!r}: expected a detector of transformers (RT-DETR, D-FINE, …), but it cannot be read "
                f"({_first_line(error)})."
            ) from error
        device = place(self.device).device
        return processor, model.to(device).eval(), device

    def detect(self, rgb: NDArray[np.uint8]) -> tuple[FoundObject, ...]:
        """Objects of a frame (H, W, 3), the surest first."""
        import torch

        processor, model, device = self._loaded
        given = processor(images=rgb, return_tensors="pt", input_data_format="channels_last").to(device)
        with torch.inference_mode():
            out = model(**given)
        found = processor.post_process_object_detection(out, threshold=self.threshold, target_sizes=[rgb.shape[:2]])[0]
        boxes, scores = (found[key].float().cpu().numpy().astype(np.float64) for key in ("boxes", "scores"))
        names = [str(model.config.id2label[int(index)]).lower() for index in found["labels"]]
        return _kept(boxes, scores, names, self.threshold, rgb.shape)


def letterbox(rgb: NDArray[np.uint8], high: int, wide: int) -> tuple[NDArray[np.float32], float]:
    """A frame as a network's input (1, 3, high, wide) float32 BGR, in the upper left corner on grey, and its scale.

    >>> picture, scale = letterbox(np.zeros((50, 200, 3), np.uint8), 64, 64)
    >>> picture.shape, scale, float(picture[0, 0, 0, 0]), float(picture[0, 0, 40, 0])
    ((1, 3, 64, 64), 0.32, 0.0, 114.0)
    """
    import cv2

    scale = min(high / rgb.shape[0], wide / rgb.shape[1])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    field = np.full((high, wide, 3), GREY, np.uint8)
    field[: size[1], : size[0]] = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return np.ascontiguousarray(field[..., ::-1].transpose(2, 0, 1)[None], np.float32), scale


def decoded(
    rows: NDArray[np.float64], high: int, wide: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Boxes (N, 4) xyxy of the network's input, scores (N,) and classes (N,) of rows (N, 5 + K).

    Rows of one per cell are decoded as YOLOX does, unless they are in pixels already: then sizes are too large to be logarithms.

    >>> row = np.array([[0.5, 0.5, 0.0, np.log(2.0), 0.9, 0.1, 0.8]])
    >>> boxes, scores, classes = decoded(np.repeat(row, 64 + 16 + 4, axis=0), 64, 64)
    >>> boxes[0].tolist(), round(float(scores[0]), 2), int(classes[0])
    ([0.0, -4.0, 8.0, 12.0], 0.72, 1)
    """
    centres, sizes = rows[:, :2].copy(), rows[:, 2:4].copy()
    cells = _cells(high, wide)
    if len(rows) in cells and not (np.abs(sizes) > SMALLEST_LOG).any():
        grid, strides = cells[len(rows)]
        centres, sizes = (centres + grid) * strides, np.exp(sizes) * strides
    scores = rows[:, 4:5] * rows[:, 5:]
    return (
        np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1), scores.max(axis=1), scores.argmax(axis=1),
    )  # fmt: skip


def _cells(high: int, wide: int) -> dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Cells (N, 2) and strides (N, 1) of three and of four levels, by their number."""
    found = {}
    for levels in (3, 4):
        grids, strides = [], []
        for stride in STRIDES[:levels]:
            y, x = np.mgrid[0 : high // stride, 0 : wide // stride]
            grids.append(np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float64))
            strides.append(np.full((len(grids[-1]), 1), float(stride)))
        found[sum(map(len, grids))] = np.concatenate(grids), np.concatenate(strides)
    return found


def _kept(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], names: list[str], threshold: float, shape: tuple[int, ...]
) -> tuple[FoundObject, ...]:
    """Sure boxes inside the frame, of overlapping ones of a class the surest."""
    import cv2

    found: list[FoundObject] = []
    limits = np.array([shape[1], shape[0]] * 2, np.float64)
    sure = np.flatnonzero((scores >= threshold) & np.isfinite(boxes).all(axis=1))
    for name in dict.fromkeys(names[int(i)] for i in sure):
        own = np.array([i for i in sure if names[int(i)] == name])
        wide = np.concatenate([boxes[own, :2], boxes[own, 2:] - boxes[own, :2]], axis=1)
        for k in np.asarray(cv2.dnn.NMSBoxes(wide.tolist(), scores[own].tolist(), threshold, OVERLAP)).ravel():
            box = np.clip(boxes[own[int(k)]], 0, limits)
            if (box[2:] > box[:2]).all():
                x0, y0, x1, y1 = box.tolist()
                found.append(FoundObject((x0, y0, x1, y1), float(scores[own[int(k)]]), name))
    return tuple(sorted(found, key=lambda one: -one.score))


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]
