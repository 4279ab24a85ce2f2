# The project's own code, which was uploaded from the directory of the run.
echo "train.sh got: $*"
for epoch in $(seq 1 3); do
  echo "epoch $epoch: loss 0.$((9 / epoch))"
done
