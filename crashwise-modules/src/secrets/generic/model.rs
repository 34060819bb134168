//! How much a text looks like words and identifiers, and how much like chance.

/// Symbols of the model: `a` to `z`, `A` to `Z`, any digit, anything else (and the edges of the text).
const SYMBOLS: usize = 54;

/// Row: the symbol before. Column: the symbol. Six times the bits of surprise, from `!` upwards.
///
/// Counted over the distinct words and identifiers of 120 MB of C headers, Rust, Python, Perl, TOML and documentation;
/// what switches between letters and digits three times or more was left out.
const SURPRISE: [&[u8; SYMBOLS]; SYMBOLS] = [
    b"W?99TK?\\?aG3:7e=e471FJIJE\\onemojrnk~whqkph}odjzku}~~O=",
    b"4LAL6QQ\\6>T1MQ8Lg>>F4S]Q<Z^aWdcfso_}i_ggmewe]brholq~D4",
    b"6NFM5O^5@]6;GQ1JY<E5@N\\YLo_i]ec`jk_~_d`hfaq^^cficw}qL6",
    b":LQ>/JLU6X\\BQO=N`A@LARZYJsVWSWVW`^Vr_XX]YVlWQU]\\_ruqI*",
    b"<P<:FCHYR`W:@6REI268UGL=Ib\\^V\\X[a_Ys`][^\\XtZTWa`do|tO/",
    b";NJE:9NY0va<PI5Mi:=@>_WcFp_ga_egnkj~mbdlbe~`_bgacml~D-",
    b"BVJV-TF?:lj@C;BPh::EBX\\eQQY^V[XXdcV~fYWW`ZzYSWa_ezzrO,",
    b"1ZWL/[_\\8hXJDQ6Qc=H8C^YdJd[`W]]Yee_~d][caWpTS\\hecr~oL-",
    b"AB;<@A=hYeU:<.6B\\@64WCgGnApljpynu~r~~mjwrl~pik}r|tw~P@",
    b"9TQI*PXP?[BYLQ4BSS0P;UIncjgwgj`wnwwww^`gwjjdgnjnwwwwI5",
    b"?VMI+RIT8`\\JSGKObR<IDTO]SaV^RUSU^]PglVVWYWiUMS]aZsz~K)",
    b"8KQ@08PY3_V7UY5LpVA=>O\\hCP\\`X[]X^d\\qf\\aa^Xq_V[d_kizxN1",
    b"0@PE.UVa8cO@@M95XU>J>Wb`Nk^_Y]\\\\hm]xk_`ba\\r\\T]c_dbc|M2",
    b"9U:56B6X>_HJSE<KbT82CGUfO_]aX^Z\\gdZwl\\]b^Yn\\WYg_enuiQ1",
    b"FE9:VFF_GWC;9/B;m2=>;E@PWcca]bf`sncon`gjhazfYfejizu{U8",
    b"2UNI2PRD<lM9QO8>^5C6>SVcC[[e\\^\\\\de^~i[_i_]~^V^hbgw~~I3",
    b"OMMLDRP_T{r5QQLS[F@K&T\\hhb[bX[`bh{`{facdfec\\cLd_m{{{M/",
    b"6TCD/KD]6tHGBE6Pi=9;EJUX@r_aX\\Z_hhY|g^]`b\\y]XZkbjrtyR0",
    b"DXAV0QO?9iBCNQ?@PQ:1@VPcFfab[a_[ik\\ss``a_\\v`Z]hbes{qQ,",
    b"8YEN1NY;5q\\IIU9Hf7?AE[VN>bU\\SYTVa^VtdZY]]VlVRUa]alurJ-",
    b"@=AG8>Gh<lY792M:o562WQjOh\\vxhinn}}j~~kvxyh~ufkoy~~~~BE",
    b".SIS)NQZ5wfOFQCRkSIK]_UTVdfcede_bgezljdfgfpY\\cmioz~~84",
    b"3SKG8SR>1jSIT86Qf3?MY\\Cb]nY\\PWYXhY[lrRXc^Y|[PZba_gluP/",
    b"BT?M8NbR?ufSGXN6_W=0VW^JJ\\FJKQRA\\aZ~hT[a[Ys_RYfcbiww3-",
    b"HJKVFQG]Jh`?A;H0hP;;[WJ_WWUSPURSYXR`eTRVRPhTNRWV\\mpnM(",
    b":WPR&N]S9ia@8TAUhTRPTYZeFDZ`dY\\Z|aissn^hd\\|d\\\\|eh||iN5",
    b"oTLHj[^m`}mH^K~RvGIKL]fbutK@:;GG>\\DaN8=:`<_794BHUAL`<5",
    b">iijG^{jBprEniBj~Hen>f~~Gi9G;D<GNb7<Q7LH@Iw@@>;S[^IY73",
    b"AglfNg{DW~~H[b8]vJ]UMipv\\y9HCF:KN;B`<A=N6DY=>7GLXIIv>2",
    b"Cbls<psy@j~hkoGqyKYnPv~yW~>FH@0EOE7^]GKPAI^BADHQX[Re;+",
    b"_wj[wamqi~zOUFmeXG_flP~Dz}>L;<EDFXPfV@B8FEH399O@Q>Dj?.",
    b"HoaSPqx~>~~DfQAb{F\\qE{egx~:FBA<:U^7{_6OH:H^B:BB]UdK~70",
    b"OpbV;{~eR{{NncKl~D_PGvv{tXDJBO1QOD:nR6E>BIc7=FJSXUWVK,",
    b"<yt\\>~yoFtqoZyF`~fdLRyheTn1`MK3O_X<tOPDS:Nt=K<DXDcGOE,",
    b"x|]KsY_xlz~hL:W[~cLEZk~i~~FB=7D:>cTh\\=>05;bC<7ZFUHcDR>",
    b";qcqIqcqKqqqg`9PqqA`=qqq^gCPKP1ORWDZEVGQ;@cX8IB^FcqqG*",
    b"N~hu7~~VCuu`uWSpkccjYZccj~CJ:B-ILL<j_KKELH\\J>EDQP`XfM+",
    b"GjjsAhqq@~xexmBj~x]k_buzke5OME5LJV5sO<PJ7MlQ>>CPYiLM8.",
    b":cdd@im~F~jngn@]ngSiGk~nQ~1FI@3INV:sSDDK<7^S<FE]c[X`K0",
    b"D{ylIssc[~wwqyCp~l[lJt~mn~;T<:8;7T>gF8UG9NaC:6CF]_QiA1",
    b"lH]irKtsrzc_kJlE~K[\\NVVx~~G@6>PBA\\FbI<?3C8j4:<>GAT_oY4",
    b"<enrIhvVN~kOnxDU~<YPN]~pS}8QDM5FT>@q@AHI9>e6B;FHY\\OiE/",
    b"XtWf_jttTtt^Ltffjjt_6]cjttHSBLDSGWJtX1EIKNTK;V,ZWt[]L-",
    b"Hens8wrkV~~zv_Px~|fcS|_mq~8SCG1DHc8vOCCE8D]>=:HKSUAlK.",
    b"OsJk?tvMG~aV[\\JK^jk=M]\\sLx@T?N7SM?:qG9LBBAKH65CTTZ@UC/",
    b"Iwb}FzvLH~ohq~F`~EdqW~^lFj9RDL5KX=9pV>GP<Dg6@=BXUB@bJ-",
    b"vdl`n~h{R{ie`;{I~TDL]{~{ssG@E=;@E`;gU9<3Q8p666TOfMfc?>",
    b"6eep=\\~i@~~idlM^~eZ_e~n_ww5QAK.AUL;~\\CAHD8^KCEc^UF^c73",
    b":idc@edB7||acdAd|:ai^rinb|5SBG<NVE3iOEH;=HX9BFUeZT[iN1",
    b"am^Zihro_~vdYvW^oi^WgoeroeERBF?G[XEv\\DBKJ=NN>3V\\_;L[1)",
    b"Uue~M~p~X~~upkQm~pa~_up~p~CTFYENUfJpgIB=O0RL1EVdOmPWP(",
    b"K]]b=]_VEuuNbgIgugTdYdkubdC_MZ+WWO?guE8PD]XbOXYkXgNJ-2",
    b"UUUSWOjf]zhadgo^|fXafena~yMMLLNJekb~`]^if]sc^]cg`e~}&*",
    b">A;@@?DE=UMA?AC=V>6=CEFGZWBFAEDCJMC\\SJDDHB[D>EKLOPbWB~",
];

/// Mean surprise in bits per symbol, the edges included: words and identifiers lie around 3.5 to 4.3, random letters
/// and digits above 5.5. Zero for an empty text.
pub(super) fn surprise(text: &[u8]) -> f32 {
    let mut before = SYMBOLS - 1;
    let mut sum = 0_u32;
    for symbol in text.iter().map(|&byte| symbol(byte)).chain([SYMBOLS - 1]) {
        sum += u32::from(SURPRISE[before][symbol] - b'!');
        before = symbol;
    }
    let symbols = u16::try_from(text.len() + 1).unwrap_or(u16::MAX);
    #[expect(clippy::cast_precision_loss, reason = "a sum of small numbers")]
    let sum = sum as f32;
    if text.is_empty() { 0.0 } else { sum / 6.0 / f32::from(symbols) }
}

/// Shannon entropy in bits per byte.
pub(in crate::secrets) fn entropy(text: &[u8]) -> f32 {
    let mut counts = [0_u16; 256];
    for &byte in text.iter().take(usize::from(u16::MAX)) {
        counts[usize::from(byte)] += 1;
    }
    let len = f32::from(u16::try_from(text.len()).unwrap_or(u16::MAX));
    counts
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| f32::from(count) / len)
        .map(|share| -share * share.log2())
        .sum()
}

fn symbol(byte: u8) -> usize {
    usize::from(match byte {
        b'a'..=b'z' => byte - b'a',
        b'A'..=b'Z' => byte - b'A' + 26,
        b'0'..=b'9' => 52,
        _ => 53,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_less_surprising_than_chance() {
        for text in ["password", "consumer_key", "api-key-here", "sunshine2024", "application/json"] {
            assert!(surprise(text.as_bytes()) < 4.6, "{text}: {}", surprise(text.as_bytes()));
        }
        for text in ["b99sj6p86cvy", "ztnhgk", "DEnmIQC4pbqqPIdxs50l", "4f5e9e7f", "zusnrxoeqz"] {
            assert!(surprise(text.as_bytes()) > 5.5, "{text}: {}", surprise(text.as_bytes()));
        }
        assert!(surprise(b"").abs() < f32::EPSILON);
    }

    #[test]
    fn entropy_of_known_texts() {
        for (text, expect) in [("", 0.0), ("aaaa", 0.0), ("abab", 1.0), ("abcdefgh", 3.0)] {
            assert!((entropy(text.as_bytes()) - expect).abs() < 1e-5, "{text}");
        }
    }
}
