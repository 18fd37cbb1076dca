package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

type vector struct {
	Name   string
	Text   string
	Ranges []struct {
		Start, End int
		UTF8       [2]int `json:"utf8"`
		Substring  string
	}
}

func TestByteOffsets(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(os.Getenv("SLCOLM_VECTORS"), "offsets.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(content, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("there are no vectors")
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			at := byteOffsets(v.Text)
			if want := utf8.RuneCountInString(v.Text) + 1; len(at) != want {
				t.Fatalf("%d offsets, want %d", len(at), want)
			}
			for _, r := range v.Ranges {
				got := [2]int{at[r.Start], at[r.End]}
				if got != r.UTF8 || v.Text[got[0]:got[1]] != r.Substring {
					t.Errorf("%d:%d is %v, want %v", r.Start, r.End, got, r.UTF8)
				}
			}
		})
	}
}
