package image_test

import (
	"fmt"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
)

func ExampleParseReference() {
	ref, err := image.ParseReference("index.docker.io/acme/train")
	fmt.Println(ref, err)
	fmt.Println(ref.Host(), ref.Repository(), ref.Tag())

	_, err = image.ParseReference("https://ghcr.io/acme/train")
	fmt.Println(fault.From(err).Sentence())
	// Output:
	// docker.io/acme/train:latest <nil>
	// docker.io acme/train latest
	// image "https://ghcr.io/acme/train": an image name has no scheme. Leave out "https://" and write "ghcr.io/acme/train".
}

func ExampleParsePattern() {
	pattern, err := image.ParsePattern("*.azurecr.io")
	fmt.Println(pattern, err)
	fmt.Println(pattern.Match(image.MustParseReference("myregistry.azurecr.io/ml/train:v2")))
	fmt.Println(pattern.Match(image.MustParseReference("myregistry.azurecr.io.evil.example/x")))

	_, err = image.ParsePattern("*/acme/train")
	fmt.Println(fault.From(err).Sentence())
	// Output:
	// *.azurecr.io/* <nil>
	// true
	// false
	// image_patterns: pattern "*/acme/train": a host of `*` alone would give the credential to every registry there is. Name the registry, such as ghcr.io/acme/* or *.azurecr.io/*.
}

func ExampleIndex() {
	index := image.NewIndex[string]()
	index.Add(image.MustParsePattern("ghcr.io/*"), 1, "everybody's")
	index.Add(image.MustParsePattern("ghcr.io/acme/*"), 2, "the old one of acme")
	index.Add(image.MustParsePattern("ghcr.io/acme/*"), 3, "the new one of acme")

	ref := image.MustParseReference("ghcr.io/acme/train:v2")
	fmt.Println(index.Lookup(ref))
	for _, match := range index.Matches(ref) {
		fmt.Printf("%s: %s\n", match.Value, match.Reason.Words())
	}
	// Output:
	// the old one of acme true
	// the old one of acme: they are equally specific and its credential is older
	// the new one of acme: its path has more characters before the first wildcard
	// everybody's: no other pattern comes after it
}

func ExampleIndex_Near() {
	index := image.NewIndex[string]()
	index.Add(image.MustParsePattern("myregistri.azurecr.io/*"), 1, "Azure")

	for _, miss := range index.Near(image.MustParseReference("myregistry.azurecr.io/train")) {
		fmt.Printf("%s: %s\n", miss.Value, miss.Reason)
	}
	// Output:
	// Azure: the host differs: the pattern has "myregistri.azurecr.io", the image "myregistry.azurecr.io"
}
