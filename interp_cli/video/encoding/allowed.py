"""Filters and encoder parameters that keep frames, sizes and times, and write no files.

The ffmpeg at hand says which filters and options there are, but not what they do. These lists say
what is known to be harmless. What is not listed is refused.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


VIDEO_FILTERS = _names("""
    amplify ass atadenoise avgblur backgroundkey bilateral bitplanenoise boxblur cas chromahold
    chromakey chromanr chromashift codecview colorbalance colorchannelmixer colorcontrast
    colorcorrect colorhold colorize colorkey colorlevels colormatrix colorspace colortemperature
    convolution copy cropdetect curves dblur dctdnoiz deband deblock dedot deflate deflicker delogo
    despill dilation drawbox drawgrid drawtext edgedetect eq erosion exposure fade fftdnoiz fftfilt
    fieldorder floodfill format fspp gblur geq gradfun grayworld greyedge hflip histeq hqdn3d
    hsvhold hsvkey hue huesaturation hwupload inflate kirsch lagfun limiter lumakey lut lut1d lut3d
    lutrgb lutyuv maskfun median monochrome negate nlmeans noformat noise normalize null owdenoise
    pixelize pp7 prewitt pseudocolor qp removegrain removelogo rgbashift roberts sab scdet scharr
    selectivecolor setdar setfield setparams setrange setsar showinfo shufflepixels shuffleplanes
    siti smartblur sobel spp subtitles swaprect swapuv tonemap unsharp uspp vaguedenoiser vflip
    vibrance vignette yaepblur
""")
AUDIO_FILTERS = _names("""
    acompressor acontrast acrusher adeclick adeclip adecorrelate adenorm adynamicequalizer
    adynamicsmooth aemphasis aeval aexciter afade afftdn afftfilt aformat afreqshift agate alimiter
    allpass anlmdn anull aphaser aphaseshift apsyclip apulsator aresample arnndn asetnsamples
    ashowinfo asoftclip aspectralstats astats asubboost asubcut asupercut asuperpass asuperstop
    atilt bandpass bandreject bass biquad bs2b channelmap chorus compand compensationdelay crossfeed
    crystalizer dcshift deesser dialoguenhance drmeter dynaudnorm earwax equalizer extrastereo
    firequalizer flanger haas hdcd highpass highshelf loudnorm lowpass lowshelf mcompand pan
    replaygain silencedetect speechnorm stereotools stereowiden superequalizer surround tiltshelf
    treble tremolo vibrato virtualbass volume volumedetect
""")
# Options of these filters that name a file to write, each filter's last.
WRITING_OPTIONS = {"curves": "plot", "firequalizer": "dumpfile", "loudnorm": "stats_file"}
PACKET_FILTERS = _names("""
    aac_adtstoasc apv_metadata av1_metadata dca_core dump_extra eac3_core extract_extradata
    h264_metadata h264_mp4toannexb h264_redundant_pps hevc_metadata hevc_mp4toannexb mjpeg2jpeg
    mpeg2_metadata null opus_metadata pcm_rechunk prores_metadata remove_extra showinfo
    trace_headers truehd_core vp9_metadata vp9_superframe vvc_metadata vvc_mp4toannexb
""")
# Options of encoders and muxers whose value is a text, and never a file's name.
TEXT_OPTIONS = _names("""
    brand deblock dump_separator encryption_key encryption_kid encryption_scheme gop_timecode
    layer_rates level load_plugins palette partitions preset profile psy-rd qsv_params rc_eq
    ts-parameters tune vendor wpredp
""")
_X264 = _names("""
    8x8dct alternative-transfer analyse aq-mode aq-strength asm aud avcintra-class avcintra-flavor
    b-adapt b-bias b-pyramid bframes bitrate bluray-compat cabac cabac-idc chroma-me
    chroma-qp-offset chromaloc cll colormatrix colorprim constrained-intra cplx-blur cplxblur cqm
    cqm4 cqm4i cqm4ic cqm4iy cqm4p cqm4pc cqm4py cqm8 cqm8i cqm8p crf crf-max dct-decimate
    deadzone-inter deadzone-intra deblock direct direct-pred dpb-size fade-compensate fast-pskip
    filler filter frame-packing frameref fullrange intra-refresh ip-factor ipratio keyint keyint-min
    level level-idc log log-level lookahead-threads mastering-display mbtree me me-range merange
    min-keyint mixed-refs mvrange mvrange-thread mv-range mv-range-thread nal-hrd nr open-gop
    overscan partitions pb-factor pbratio pic-struct psnr psy psy-rd qblur qcomp qp qp-max qp-min
    qp-step qpmax qpmin qpstep ratetol rc-lookahead ref scenecut slice-max-mbs slice-max-size
    slice-min-mbs slices slices-max sliced-threads ssim stitchable subme subq sync-lookahead threads
    transfer trellis vbv-bufsize vbv-init vbv-maxrate videoformat weight-b weightb weightp zones
""")
_X265 = _names("""
    amp analyze-src-pics aq-bias-strength aq-mode aq-motion aq-strength asm aud b-adapt b-intra
    b-pyramid bframe-bias bframes bitrate cbqpoffs chromaloc cip colormatrix colorprim
    constrained-intra copy-pic cplxblur crf crf-max crf-min crqpoffs ctu cu-lossless cutree deblock
    dynamic-rd early-skip fades fast-intra frame-threads gop-lookahead hash hdr10 hdr10-opt hevc-aq
    high-tier hist-scenecut hme hme-range hme-search hrd idr-recovery-sei info intra-refresh ipratio
    keyint level-idc limit-modes limit-refs limit-sao limit-tu log-level log2-max-poc-lsb
    lookahead-slices lookahead-threads lossless lowpass-dct master-display max-ausize-factor max-cll
    max-luma max-merge max-tu-size me merange min-cu-size min-keyint min-luma nr-inter nr-intra
    numa-pools open-gop opt-cu-delta-qp opt-qp-pps opt-ref-list-length-pps overscan pbratio pme
    pmode pools psnr psy-rd psy-rdoq qblur qcomp qg-size qp qp-adaptation-range qpmax qpmin qpstep
    radl range ratetol rc-grain rc-lookahead rd rd-refine rdoq-level rdpenalty rect ref rskip
    rskip-edge-threshold sao sao-non-deblock scenecut scenecut-aware-qp scenecut-bias selective-sao
    signhide single-sei slices splitrd-skip ssim ssim-rd strict-cbr strong-intra-smoothing subme
    temporal-mvp transfer tskip tskip-fast tu-inter-depth tu-intra-depth uhd-bd vbv-bufsize vbv-end
    vbv-init vbv-maxrate videoformat vui-hrd-info vui-timing-info weightb weightp wpp zones
""")
_SVTAV1 = _names("""
    ac-bias adaptive-film-grain aq-mode asm bias-pct buf-initial-sz buf-optimal-sz buf-sz
    chroma-qindex-offsets chroma-qm-max chroma-qm-min chroma-sample-position
    chroma-u-ac-qindex-offset chroma-u-dc-qindex-offset chroma-v-ac-qindex-offset
    chroma-v-dc-qindex-offset color-primaries color-range content-light crf enable-cdef enable-dg
    enable-dlf enable-force-key-frames enable-hdr enable-kf-tf enable-mfmv enable-overlays enable-qm
    enable-restoration enable-tf enable-tpl-la enable-variance-boost fast-decode film-grain
    film-grain-denoise gop-constraint-rc hbd-mds hierarchical-levels intra-period irefresh-type
    key-frame-chroma-qindex-offset key-frame-qindex-offset keyint lambda-scale-factors level
    lookahead lossless lp luma-y-dc-qindex-offset luminance-qp-bias mastering-display
    matrix-coefficients max-intra-bitrate-pct max-inter-bitrate-pct max-qp max-tx-size mbr
    mbr-overshoot-pct min-qp overshoot-pct pin pred-struct preset profile qm-max qm-min qp
    qp-scale-compress-strength rc recode-loop rtc scd scm screen-content-mode sharpness
    startup-mg-size startup-qp-offset tbr tf-strength tier tile-columns tile-rows
    transfer-characteristics tune undershoot-pct use-fixed-qindex-offsets variance-boost-curve
    variance-boost-strength variance-octile
""")
_AOM = _names("""
    aq-mode arnr-maxframes arnr-strength auto-alt-ref auto-tiles bias-pct buf-initial-sz
    buf-optimal-sz buf-sz cdf-update-mode chroma-sample-position coeff-cost-upd-freq color-primaries
    cpu-used cq-level delta-lf-mode deltaq-mode deltaq-strength denoise-block-size
    denoise-noise-level disable-kf disable-trellis-quant dist-metric dv-cost-upd-freq
    enable-adaptive-sharpness enable-angle-delta enable-cdef enable-cfl-intra enable-chroma-deltaq
    enable-diagonal-intra enable-directional-intra enable-dist-wtd-comp enable-dnl-denoising
    enable-dual-filter enable-filter-intra enable-flip-idtx enable-fwd-kf enable-global-motion
    enable-interinter-wedge enable-intrabc enable-keyframe-filtering enable-masked-comp enable-obmc
    enable-order-hint enable-overlay enable-palette enable-paeth-intra enable-qm
    enable-rate-guide-deltaq enable-rect-partitions enable-rect-tx enable-ref-frame-mvs
    enable-restoration enable-smooth-intra enable-tpl-model enable-tx64 enable-warped-motion
    end-usage error-resilient film-grain-test frame-boost frame-parallel full-still-picture-hdr
    gf-cbr-boost gf-max-pyr-height kf-max-dist kf-min-dist lag-in-frames lossless
    matrix-coefficients max-gf-interval max-inter-rate max-intra-rate max-partition-size max-q
    max-reference-frames min-gf-interval min-partition-size min-q mode-cost-upd-freq mtu-size
    mv-cost-upd-freq noise-sensitivity num-tile-groups overshoot-pct qm-max qm-min quant-b-adapt
    reduced-reference-set reduced-tx-type-set row-mt sb-size sharpness static-thresh target-bitrate
    threads tile-columns tile-rows transfer-characteristics tune tune-content undershoot-pct
""")
# Options that hold parameters of an encoder's library, and the parameters that may be given.
PARAMETERS = {
    "x264-params": _X264,
    "x264opts": _X264,
    "x265-params": _X265,
    "svtav1-params": _SVTAV1,
    "aom-params": _AOM,
}
