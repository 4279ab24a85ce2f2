package pull

import (
	"strconv"

	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
)

// layerCorrupt is the code of a layer that is not what it should be.
const layerCorrupt = "layer_corrupt"

// layerAltered is a layer whose bytes are not those that the manifest names.
func layerAltered(ref image.Reference, layer digest.Digest, cause error) *fault.Error {
	return fault.New(fault.Unavailable, layerCorrupt, "layer %s of %s arrived truncated or altered, so nothing of it was kept", layer, ref).
		WithHint("Try again; if it stays so, push the image again, or look for a proxy in between that changes what it passes on.").WithCause(cause)
}

// layerBroken is a layer that arrived as it is at the registry and is of no
// use.
func layerBroken(ref image.Reference, layer digest.Digest, cause error) *fault.Error {
	return fault.New(fault.Unavailable, layerCorrupt, "layer %s of %s does not unpack to what the image's configuration names, so nothing of it was kept", layer, ref).
		WithHint("The image is broken at the registry: build and push it again.").WithCause(cause)
}

// layerMissing is a layer that the manifest names and the registry does not
// have.
func layerMissing(ref image.Reference, layer digest.Digest, cause error) *fault.Error {
	return fault.New(fault.NotFound, "layer_missing", "%s has the manifest of %s, but not its layer %s, or not for this credential", ref.APIHost(), ref, layer).
		WithHint("Push the image again; the registry may have cleaned up what it thought unused.").WithCause(cause)
}

// layerDevice is a layer with a device node where none are allowed.
func layerDevice(ref image.Reference, name string) *fault.Error {
	return imageInvalid(ref, "layer_device", "has a device node in a layer, %s, and images bring none to this worker", foreign(name)).
		WithHint("Build the image without it: containers get their devices from the runtime. If it must stay, the worker's operator can start it with --allow-device-nodes; they are then unpacked, but never open.")
}

// imageTooLarge is an image whose files are more than a worker takes.
func imageTooLarge(ref image.Reference, most int64) *fault.Error {
	return fault.New(fault.Exhausted, "image_too_large", "%s unpacks to more than %s, the most that this worker takes", ref, size(most)).
		WithHint("Use a smaller image; if it is meant to be so large, ask the worker's operator to raise the limit.")
}

// imageInvalid is an image that the registry has and nobody could run.
func imageInvalid(ref image.Reference, code, message string, args ...any) *fault.Error {
	f := fault.New(fault.Invalid, code, message, args...)
	f.Message = ref.String() + " " + f.Message
	return f
}

// foreign shows a word of a manifest: quoted, and cut where it is long.
func foreign(word string) string {
	const most = 100
	if len(word) > most {
		return strconv.QuoteToASCII(word[:most]) + "…"
	}
	return strconv.QuoteToASCII(word)
}
