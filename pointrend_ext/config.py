"""Every configuration key that this package adds, each documented here and nowhere else."""

from typing import Any

from detectron2.config import CfgNode


def add_pointrend_config(cfg: CfgNode) -> None:
    """Add the keys of ``pointrend_ext`` to ``cfg``, in place.

    Keys that are already there keep their values, so the function may be called twice, after a
    merge, and in any order with the functions of Detectron2's own PointRend and DeepLab projects:
    those share some keys, with equal defaults.

    Args:
        cfg: a configuration made by ``detectron2.config.get_cfg``.
    """
    _add_data_keys(cfg)
    _add_test_keys(cfg)
    _add_solver_keys(cfg)
    _add_logger_keys(cfg)
    # Parts that are not trained and stay in evaluation mode: names of modules or parameters, with *
    # for any characters, such as "backbone" and "roi_heads.box_*".
    _default(cfg.MODEL, "FREEZE", [])
    # Whether weights of convolutions, and with them feature maps, lie in memory with the channels
    # last (NHWC), which is faster on GPUs with tensor cores in mixed precision.
    _default(cfg.MODEL, "CHANNELS_LAST", False)
    # PROPOSAL_GENERATOR.NAME "GivenBoxes" trains on the boxes of the ground truth: each side moved
    # by up to this share of the box's width or height, in [0, 0.5),
    _default(cfg.MODEL.PROPOSAL_GENERATOR, "BOX_JITTER", 0.1)
    # and each box drawn so many times, as far as ROI_HEADS.BATCH_SIZE_PER_IMAGE has room.
    _default(cfg.MODEL.PROPOSAL_GENERATOR, "BOX_COPIES", 1)
    _add_coarse_mask_head_keys(cfg)
    _add_mask_point_head_keys(cfg)
    _add_deeplab_keys(cfg)
    _add_sem_seg_point_head_keys(cfg)
    _add_alignment_keys(cfg)


def _add_data_keys(cfg: CfgNode) -> None:
    # Files that describe data sets (docs/datasets.md); what they describe can be named in
    # DATASETS.TRAIN and DATASETS.TEST. Paths, or names of files that this package ships.
    _default(cfg.DATASETS, "DESCRIPTIONS", ())
    # Largest picture that is read, in megapixels (10^6 pixels), in training, evaluation and demo;
    # 179 as in Pillow. A larger one is refused, because it may exhaust the memory.
    _default(cfg.INPUT, "MAX_MEGAPIXELS", 179)
    # Value that is white in files whose samples are grey whole numbers of 16 or 32 bits: 65535, or
    # 4095 of a camera of 12 bits that leaves the upper bits empty. Keep it for prediction.
    _default(cfg.INPUT, "WHITE_VALUE", 65535)
    # Largest share (0, 1] of a training crop that one category may cover; the crop is drawn again
    # (up to ten times) until it holds. 1.0 accepts every crop. Semantic segmentation only.
    _default(cfg.INPUT.CROP, "SINGLE_CATEGORY_MAX_AREA", 1.0)
    # Large-scale jitter (Ghiasi et al., CVPR 2021) in place of MIN_SIZE_TRAIN and of CROP: an image
    # is resized to fit into a window of SIZE (height, width) times a scale drawn uniformly from
    # MIN_SCALE to MAX_SCALE, then cut to the window.
    _default(cfg.INPUT, "LSJ", CfgNode())
    _default(cfg.INPUT.LSJ, "ENABLED", False)
    _default(cfg.INPUT.LSJ, "SIZE", (1024, 1024))
    _default(cfg.INPUT.LSJ, "MIN_SCALE", 0.1)
    _default(cfg.INPUT.LSJ, "MAX_SCALE", 2.0)
    # Probability that a training image has objects of another one pasted onto it (Copy-Paste,
    # Ghiasi et al., CVPR 2021), each of them with probability 1/2.
    _default(cfg.INPUT, "COPY_PASTE", 0.0)
    # Whether masks are learnt from points of each object (point_coords, point_labels of COCO's
    # annotations) instead of its mask; evaluations are by masks as ever.
    _default(cfg.INPUT, "POINT_SUP", False)
    # Points of an object that are drawn anew each time its image is read; 0 takes all of them.
    _default(cfg.INPUT, "SAMPLE_POINTS", 0)
    # Photometric augmentation of SSD (Liu et al., ECCV 2016, section 2.2) when a semantic model is
    # trained.
    _default(cfg.INPUT, "COLOR_AUG_SSD", False)


def _add_test_keys(cfg: CfgNode) -> None:
    # Metrics of outlines to compute besides the usual ones. Instances: "boundary_ap". Semantics:
    # "boundary_iou", "trimap", "boundary_f". Panoptic segments: "boundary_pq".
    _default(cfg.TEST, "BOUNDARY", ())
    # Annotations in LVIS's format to score instances against as well (AP* in the paper), such as
    # lvis_v0.5_val_cocofied.json; "" for none.
    _default(cfg.TEST, "AP_STAR_FILE", "")
    # Boxes that masks are predicted for in an evaluation, instead of those that the model finds:
    # "ground_truth" (then the IoU of masks is measured by itself, "mask_quality"), or a file of
    # detections in COCO's results format; "" for the model's own.
    _default(cfg.TEST, "GIVEN_BOXES", "")
    # Whether each evaluation in a training measures its losses on DATASETS.TEST as well, as
    # validation/total_loss and so on.
    _default(cfg.TEST, "VALIDATION_LOSS", False)


def _add_solver_keys(cfg: CfgNode) -> None:
    # LR_SCHEDULER_NAME "WarmupPolyLR": the learning rate falls as (1 - iteration / MAX_ITER)^POWER,
    # but not below the share CONSTANT_ENDING of BASE_LR (DeepLab project of Detectron2).
    _default(cfg.SOLVER, "POLY_LR_POWER", 0.9)
    _default(cfg.SOLVER, "POLY_LR_CONSTANT_ENDING", 0.0)
    # Learning rate of the semantic head, in units of BASE_LR. DeepLabV3 trains its head at 10.
    _default(cfg.SOLVER, "SEM_SEG_HEAD_LR_FACTOR", 1.0)
    # Exponential moving average of the weights, evaluated and saved beside them: its DECAY per
    # iteration, and less in the first ones.
    _default(cfg.SOLVER, "EMA", CfgNode())
    _default(cfg.SOLVER.EMA, "ENABLED", False)
    _default(cfg.SOLVER.EMA, "DECAY", 0.9998)
    # Metric, by its name in metrics.json, whose best evaluation keeps its weights as
    # model_best.pth: "segm/AP", "ema/segm/AP", "validation/total_loss"; "" for none. More is
    # better, but for validation/.
    _default(cfg.SOLVER, "BEST", CfgNode())
    _default(cfg.SOLVER.BEST, "METRIC", "")
    # Evaluations without a better one after which the training ends; 0 for never.
    _default(cfg.SOLVER.BEST, "PATIENCE", 0)
    # Parts that a batch of IMS_PER_BATCH images is trained on one after the other, to add their
    # gradients up: 4 takes a quarter of the memory.
    _default(cfg.SOLVER, "ACCUMULATION_STEPS", 1)
    # AMP.ENABLED: what most of a model computes in, "float16" or "bfloat16".
    _default(cfg.SOLVER.AMP, "DTYPE", "float16")
    # Numbered checkpoints (model_0004999.pth) that are kept, the latest ones; 0 keeps all.
    # model_final.pth stays in any case.
    _default(cfg.SOLVER, "CHECKPOINT_KEEP", 0)


def _add_logger_keys(cfg: CfgNode) -> None:
    _default(cfg, "LOGGERS", CfgNode())
    node = cfg.LOGGERS
    # Where losses and scores of a training go besides the screen and metrics.json: "tensorboard"
    # (files in OUTPUT_DIR), "wandb" (Weights & Biases), "mlflow".
    _default(node, "NAMES", ["tensorboard"])
    # Project of W&B, experiment of MLflow; and the name of the run, "" for that of OUTPUT_DIR.
    _default(node, "PROJECT", "pointrend_ext")
    _default(node, "RUN", "")


def _add_coarse_mask_head_keys(cfg: CfgNode) -> None:
    # Whether non-maximum suppression compares boxes of all classes, so that an object is found once
    # and under its best class; by default each class is by itself.
    _default(cfg.MODEL.ROI_HEADS, "NMS_CLASS_AGNOSTIC", False)
    node = cfg.MODEL.ROI_MASK_HEAD
    # What the score of an object is multiplied by in inference, with any mask head: "maskness"
    # (mean probability inside the mask) or "outline" (mean of |2 p - 1| over the cells at its
    # outline); "" leaves the class score alone. Boxes have the same score.
    _default(node, "MASK_SCORE", "")
    # Feature maps the coarse mask is predicted from; several are concatenated along the channels.
    _default(node, "IN_FEATURES", ("p2",))
    # Width and number of the hidden fully connected layers of the coarse head.
    _default(node, "FC_DIM", 1024)
    _default(node, "NUM_FC", 2)
    # Side S of the coarse mask, in cells.
    _default(node, "OUTPUT_SIDE_RESOLUTION", 7)


def _add_mask_point_head_keys(cfg: CfgNode) -> None:
    _default(cfg.MODEL, "MASK_POINT_HEAD", CfgNode())
    node = cfg.MODEL.MASK_POINT_HEAD
    # Name in the POINT_HEAD registry: StandardPointHead, or ImplicitPointHead of
    # ROI_MASK_HEAD.NAME ImplicitPointRendROIMaskHead.
    _default(node, "NAME", "StandardPointHead")
    # Feature maps the points read fine-grained features from; several are concatenated along the
    # channels.
    _default(node, "IN_FEATURES", ("p2",))
    # Points per region in training (N in section 3.1 of the paper).
    _default(node, "TRAIN_NUM_POINTS", 14 * 14)
    # Candidates drawn per training point (k in the paper), at least 1.
    _default(node, "OVERSAMPLE_RATIO", 3)
    # Share of the training points taken from the most uncertain candidates (beta in the paper), in
    # [0, 1]; the others are drawn uniformly.
    _default(node, "IMPORTANCE_SAMPLE_RATIO", 0.75)
    # Doublings from the coarse side to the side of the predicted mask: 5 takes 7 to 224. An
    # ImplicitPointHead starts from a grid of as many cells as the next key says, a square.
    _default(node, "SUBDIVISION_STEPS", 5)
    # Points evaluated per region and doubling (N in section 3.1, inference).
    _default(node, "SUBDIVISION_NUM_POINTS", 28 * 28)
    # Width and number of the hidden layers of the point MLP.
    _default(node, "FC_DIM", 256)
    _default(node, "NUM_FC", 3)
    # Whether every layer of the MLP reads the coarse prediction, not the first alone.
    _default(node, "COARSE_PRED_EACH_LAYER", True)
    # Weight of loss_mask_point.
    _default(node, "LOSS_WEIGHT", 1.0)
    # ImplicitPointHead, under the names of Detectron2's PointRend project: whether its MLPs read
    # the fine-grained features, and the position of the point in its box;
    _default(cfg.MODEL, "IMPLICIT_POINTREND", CfgNode())
    node = cfg.MODEL.IMPLICIT_POINTREND
    _default(node, "IMAGE_FEATURE_ENABLED", True)
    _default(node, "POS_ENC_ENABLED", True)
    # weight of loss_l2, the mean square of their predicted parameters.
    _default(node, "PARAMS_L2_REGULARIZER", 1e-5)


def _add_deeplab_keys(cfg: CfgNode) -> None:
    # Keys of the DeepLab project of Detectron2, whose backbone and heads read them.
    node = cfg.MODEL.SEM_SEG_HEAD
    # Loss of the DeepLab heads: cross_entropy, or hard_pixel_mining (mean over the worst fifth of
    # the pixels).
    _default(node, "LOSS_TYPE", "hard_pixel_mining")
    # DeepLabV3+: widths in the decoder of the maps beside the ASPP output, which are all but the
    # last of IN_FEATURES. PROJECT_FEATURES is read by nobody, here and in Detectron2; its
    # configurations state it.
    _default(node, "PROJECT_FEATURES", ["res2"])
    _default(node, "PROJECT_CHANNELS", [48])
    # Width of the ASPP, dilations of its three 3 x 3 branches (in cells), dropout of its output.
    _default(node, "ASPP_CHANNELS", 256)
    _default(node, "ASPP_DILATIONS", [6, 12, 18])
    _default(node, "ASPP_DROPOUT", 0.1)
    _default(node, "USE_DEPTHWISE_SEPARABLE_CONV", False)
    # What the pooling branch of the ASPP averages, ours: "global" (the whole map) or "crop" (a
    # window of INPUT.CROP.SIZE, as in Detectron2, which then refuses maps that are no multiple).
    _default(node, "ASPP_POOLING", "global")
    # Backbone build_resnet_deeplab_backbone: dilation of res4, dilations of the three blocks of
    # res5, and stem: "deeplab" (three 3 x 3) or "basic" (one 7 x 7). Those of the codes of SFNet
    # and AlignSeg, build_resnet_sfnet_backbone and build_resnet_alignseg_backbone, have dilations
    # of their own, and depths 18 and 34, too.
    _default(cfg.MODEL.RESNETS, "RES4_DILATION", 1)
    _default(cfg.MODEL.RESNETS, "RES5_MULTI_GRID", [1, 2, 4])
    _default(cfg.MODEL.RESNETS, "STEM_TYPE", "deeplab")


def _add_sem_seg_point_head_keys(cfg: CfgNode) -> None:
    _default(cfg.MODEL, "SEM_SEG_POINT_HEAD", CfgNode())
    node = cfg.MODEL.SEM_SEG_POINT_HEAD
    # Name in the SEM_SEG_HEADS registry of the head that PointRendSemanticHead refines:
    # SemSegFPNHead, DeepLabV3LogitsHead, DeepLabV3PlusLogitsHead, DeepLabV3PlusHead, SFNetHead,
    # SFNetLiteHead, AlignSegHead.
    _default(node, "COARSE_HEAD_NAME", "SemSegFPNHead")
    # As in MASK_POINT_HEAD, per image instead of per region.
    _default(node, "NAME", "StandardPointHead")
    _default(node, "IN_FEATURES", ("p2",))
    # Section 4.2 of the paper takes as many as the crop has cells of 16 x 16 pixels: 2048 for
    # 512 x 1024.
    _default(node, "TRAIN_NUM_POINTS", 1024)
    _default(node, "OVERSAMPLE_RATIO", 3)
    _default(node, "IMPORTANCE_SAMPLE_RATIO", 0.75)
    # Doublings from the coarse head's stride to full resolution. -1 derives the number, log2 of
    # that stride; any other value must be equal to it.
    _default(node, "SUBDIVISION_STEPS", -1)
    _default(node, "SUBDIVISION_NUM_POINTS", 8192)
    _default(node, "FC_DIM", 256)
    _default(node, "NUM_FC", 3)
    # Off for semantics, as in Detectron2's PointRend, where it gave losses that were not numbers.
    _default(node, "COARSE_PRED_EACH_LAYER", False)
    # Weight of loss_sem_seg_point, on top of SEM_SEG_HEAD.LOSS_WEIGHT.
    _default(node, "LOSS_WEIGHT", 1.0)
    # What PointRendSemanticSegmentor returns per image: "logits" (C, H, W), or "labels" (H, W),
    # their arg max, in less time and memory.
    _default(node, "OUTPUT", "logits")


def _add_alignment_keys(cfg: CfgNode) -> None:
    _default(cfg.MODEL.FPN, "ALIGNMENT", CfgNode())
    node = cfg.MODEL.FPN.ALIGNMENT
    # Backbone build_resnet_aligned_fpn_backbone: name in the FEATURE_ALIGNMENT registry of what
    # takes the place of the sum in the top-down path: FAM, GatedFAM, CAB. "" for the plain FPN.
    _default(node, "NAME", "")
    # Channels that flows are predicted from; 0 for those of the papers, half the width of the FPN
    # per map for FAM and GatedFAM, the width for each branch of CAB.
    _default(node, "CHANNELS", 0)
    # Normalisation in CAB, as in MODEL.FPN.NORM. FAM and GatedFAM have none.
    _default(node, "NORM", "BN")
    # Where a flow points: "pixel" counts pixels of the finer map, and zero flow is the identity.
    # "sfnet" and "alignseg" are the grids of the published networks, for weights trained with them.
    _default(node, "COORDS", "pixel")
    # Whether flows start at zero, so that training starts from a bilinear FPN.
    _default(node, "ZERO_INIT", True)
    # SFNetHead, SFNetLiteHead and AlignSegHead read the keys below, and CONVS_DIM (256 in the
    # papers, 128 on ResNet-18) and NORM.
    # LOSS_TYPE may be cross_entropy, hard_pixel_mining, ohem (of the papers, the loss of SFNet) or
    # cross_entropy_lovasz (cross entropy + 0.8 Lovasz softmax: AlignSeg calls it "OHEM").
    node = cfg.MODEL.SEM_SEG_HEAD
    # As COORDS above.
    _default(node, "ALIGNMENT_COORDS", "pixel")
    # Weight of loss_sem_seg_aux, the loss of predictions at inner layers, on top of LOSS_WEIGHT.
    # 0.0 leaves those layers out; SFNetLiteHead has none. AlignSeg trains with 0.1.
    _default(node, "AUX_LOSS_WEIGHT", 0.0)
    # LOSS_TYPE ohem: mean over the pixels whose true class has at most this probability, and in any
    # case over that many pixels of the images of one GPU, those of least probability.
    _default(node, "OHEM_THRESHOLD", 0.7)
    _default(node, "OHEM_MIN_KEPT", 10000)


def _default(node: CfgNode, key: str, value: Any) -> None:
    if key not in node:
        setattr(node, key, value)
