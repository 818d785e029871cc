package browser

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/chromedp"
)

// envPictures names the folder for pictures.
const envPictures = "ROUTED_SCREENSHOTS"

// pictureWidth is that of every picture, in pixels.
const pictureWidth = 960

// Keep writes a picture of the page down to the end of an element for the documentation, when ROUTED_SCREENSHOTS names a
// folder for it.
func (b *Browser) Keep(t *testing.T, name, end string) {
	t.Helper()
	dir := os.Getenv(envPictures)
	if dir == "" {
		return
	}
	picture, err := b.picture(end)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, name), picture, 0o644))
}

// picture is a PNG of the page down to the end of an element.
func (b *Browser) picture(end string) ([]byte, error) {
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(pictureWidth, 800)); err != nil {
		return nil, err
	}
	bottom, err := Evaluate[float64](b, fmt.Sprintf(`document.querySelector(%q).getBoundingClientRect().bottom + window.scrollY`, end))
	if err != nil {
		return nil, err
	}
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(pictureWidth, int64(bottom)+16)); err != nil {
		return nil, err
	}
	shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return nil, err
	}
	full, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, paletted(full))
	return out.Bytes(), err
}

// paletted gives a picture the 256 colours that are in it most often, which is a third of the size.
func paletted(picture image.Image) *image.Paletted {
	bounds := picture.Bounds()
	count := map[color.RGBA]int{}
	at := func(x, y int) color.RGBA {
		r, g, b, a := picture.At(x, y).RGBA() // of 16 bits
		return color.RGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), uint8(a >> 8)}
	}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int { return cmp.Compare(count[b], count[a]) })
	var palette color.Palette
	for _, c := range colours[:min(len(colours), 256)] {
		palette = append(palette, c)
	}
	out := image.NewPaletted(bounds, palette)
	nearest := map[color.RGBA]uint8{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := at(x, y)
			index, known := nearest[c]
			if !known {
				index = uint8(palette.Index(c)) // at most 256
				nearest[c] = index
			}
			out.SetColorIndex(x, y, index)
		}
	}
	return out
}
