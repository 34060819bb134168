//! How common a byte is in source text.

/// Sixteen times the binary logarithm of a byte's share, shifted so that one in 2^20 is zero. Counted over 50 MB of C
/// headers, Rust, Python, TOML, JSON and Markdown. Bytes from 0x80 on are rare in all of them and count as 24.
const ASCII: [u8; 128] = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 175, 238, 0, 0, 125, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    255, 158, 207, 185, 136, 126, 169, 200, 212, 213, 185, 146, 221, 184, 203, 206, 194, 204, 210, 202, 185,
    173, 185, 170, 185, 167, 226, 205, 171, 209, 180, 136, 136, 211, 181, 205, 196, 213, 199, 181, 174, 210,
    116, 164, 204, 193, 206, 202, 202, 139, 208, 208, 214, 186, 178, 161, 174, 163, 138, 186, 161, 186, 113,
    248, 168, 238, 220, 229, 224, 253, 218, 209, 210, 238, 152, 189, 228, 216, 242, 237, 230, 165, 240, 240,
    249, 233, 194, 189, 189, 209, 163, 187, 152, 187, 118, 0,
];

/// The thousand most common runs of four letters, digits, `_` and `-` in source text, folded and in the order of their folded
/// bytes. Words make runs common whose bytes alone would not.
const COMMON: &[u8] = b"\
      ----0000000100113_ap3_as3_mkableacceacheacroacteactiaddraderadinafteaiseakeraliaalidalizallealloallyalse\
      alueamedamesametame_amplanceandlangeanicannoappeapplaracaramarcharedargeargsarguariaarkearraarseartiarts\
      asesasksasseasynatchatedatesate_ath_aticatinatioativatomatoratteattraturaultauseave_awaibackbasebefobina\
      bitsbjecble_blicblocboolbounbrarbreabriebuffbuilbutebygrbytecachcalecallcanccasecastcatecaticcesceivcell\
      censceptcesschancharchecchedcificimacketckinclascleacloscludcodecodicollcolocommcompcondconfconnconscont\
      convcopycorecouncratcreacripcroscry_ctedcterctioctivctorctuacumecurrcursdatadateddredebudecidecldecodefa\
      defideledentdescdictdiffdingdiredistdlerdocudoesdoubdowndresdrivdropduleeacheadeeadieadyead_easeeateeatu\
      ebugeceiecifecimeck_ecodeconecteectiectoedefeduleerrefaueferefinefixeforegeregexegiseiveelateleaelifelse\
      embeemenemovemptenabenamenceencoendeendienerengtenseensientaenteentientrentsent_enumeplaepreeptiequeequi\
      eraleraterederenericermiernaerroersiert_erveescresenespaessaesseessiestresules_eeterethoetrieturevalevel\
      eveneverexamexceexecexerexpeexpoexprexteext_eywoe_cofailfalsfaulfdeffeatferefferffsefiedfielfilefindfine\
      finifirsfixeflagfloaflowforeformfounframfreefromfsetfterfuncfutugcrygeneget_gistgithgiveglobgmengmp_gnal\
      gnedgramgrouguargumehandhangharahar_hashhaveheadheckheduhelpherehichhilehinghitehoulhouthreahrowhttpiabl\
      ibleibraibuticalicaticenidenidthieldientifdeificifieightignaigneilenilesile_ilitiltiimagimalimplimpoinal\
      inarinclindeindiindoinedinesine_infoinglingsing_initinliinneinpuinseinstinteintoint_io-rionaionsion_irec\
      irstisinisteistrite3itemiteritesite_ithoithuitioiveniverize_jectjoinkeywkindkingkio-lacelagslasslastlate\
      latilderleaslectlemelenalenglessletelevelexeliaslibrlicalicelikelimilinelinglinklistlitelizelledllocllow\
      loadloatlobalocalocklongloselterltinludelueeluesmacrmagemainmakemandmappmarkmatcmathmbermbolmembmemoment\
      messmetametemethmetrmmanmmenmodemodumoremovempilmplempormpremptymultmustmutenablnamenaryncelncluncodncti\
      nctuncurndedndefndennderndexndifndinndlendownectneedneranew_nextnfignglengthningnitinit_nlinnnecnnernnot\
      nodenonenormnotenotinputnsafnsignstanstrntaintatntedntegntennterntexntimntinntrontrynullnumbnumenum_nver\
      nwrao-rsobalobjeocalocatocesockeockiocumodinoduloffsograointokenokioolleoll_oloromicommaommeompaompiompl\
      ompronalonfionlyonneonstontaonteontronveopenoperoptiopyrordeordsorkeormaorteositotheotifoublouldoundount\
      oupsourcoutpoverovidownepacepackpaniparapareparkparspartpasspathpawnpdatpecipectpedependperapilepingpipe\
      placplatplempletplicpng_poinpollportposippenppinpplipporprecprefpresprinprocpropprotprovptiopublpullpunc\
      pygmpythqlitquenqueuquirraceractraisramerandrangransraryrateratiratorderreadreakrealreamreatrecerectrefi\
      regeregirelareleremorentreplreprrequreseresorespressrestresureturgetrgumriabriburictriefrighringrintript\
      riteriverkerrmatrnalrnedrninrocerom_rootrounrouprovirrayrrenrrorrserrsesrsiortedructruntsafesagesamescal\
      schescrisecosectselfsendsentsequsertservses_set_sharshoushutsiblsignsingsinssionsitisizesocksoftsomesort\
      sourspacspawspecsqlissagssedsserssiostabstacstanstarstatstemstensterstorstrastrestristrustylsultsupesupp\
      symbsyncsysts_extabltacktailtaintanctanttargtarttasktatetatite3_tegetemptemstendtentterateretermternterp\
      terster_tesptesttextthanthatthentherthesthinthisthodthonthouthrethrothubtialtifitimetingtiontivetoketoki\
      tomitoretorytputtractrantreatribtrictrintructruetry_tterttpsttrituattupltureturntyletypet_equ000uatiuble\
      ubliuencueueuffeuilduiltuintuireulesule_ultiumbeumenumerunctundeunixunsaunsiuntiunwrupdauperupleuppourat\
      urceurneurnsurreurseuseduseruse_usinusizutexutpuuturvalivaluvarivectventversvertvidevoidwaitwakewarewhen\
      wherwhicwhilwhitwidtwillwindwithwnedwordworkwrapwritxampxcepxersxporxtenxteryamlygmeygroyielymboypedypes\
      ysteytesythoyworz3_az3_mzeroze_t_add_all_api_arg_ast_att_buf_cla_col_com_con_dat_dec_def_err_exp_fil_flo\
      _for_fun_get_gmp_inf_ini_int_lin_loc_mk__mod_nam_non_num_opt_par_pat_pre_pro_ptr_rea_res_set_siz_sta_str\
      _thr_tim_typ_use_val_ver_wri__gm__in__re__th__us";

/// Added to the cost of a common run: more than the bytes of any other add up to.
const COMMON_COST: u32 = 2000;

/// Whether a run of four bytes is a common one.
fn is_common(run: &[u8]) -> bool {
    let (runs, _) = COMMON.as_chunks::<4>();
    let folded = |run: &[u8; 4]| u32::from_be_bytes(*run) | 0x2020_2020;
    run.as_array().is_some_and(|run| runs.binary_search_by_key(&folded(run), folded).is_ok())
}

/// How common `byte` is, in sixteenths of a binary logarithm: the sum over a window estimates how often it occurs.
pub(super) fn byte_cost(byte: u8) -> u32 {
    ASCII.get(usize::from(byte)).map_or(24, |&cost| u32::from(cost))
}

/// As [`byte_cost`] for a letter in either case: the more common case decides.
pub(super) fn folded_cost(byte: u8) -> u32 {
    byte_cost(byte.to_ascii_lowercase()).max(byte_cost(byte.to_ascii_uppercase()))
}

/// The cheapest window of up to `size` bytes: its offset and its cost. Absent bytes of short literals cost the most.
pub(super) fn rarest_window(literal: &[u8], size: usize) -> (usize, u32) {
    let size = size.max(1);
    if literal.len() < size {
        let absent = u32::try_from(size - literal.len()).unwrap_or(u32::MAX).saturating_mul(4 * COMMON_COST);
        return (0, literal.iter().map(|&byte| folded_cost(byte)).sum::<u32>().saturating_add(absent));
    }
    literal
        .windows(size)
        .map(|window| {
            // The run that identifies the literal counts twice: the one behind it is only seen by the probe.
            let identity = u32::from(window.get(..4).is_some_and(is_common)) * 2;
            let probed = u32::from(window.get(1..5).is_some_and(is_common));
            window.iter().map(|&byte| folded_cost(byte)).sum::<u32>() + COMMON_COST * (identity + probed)
        })
        .enumerate()
        .min_by_key(|&(_, cost)| cost)
        .unwrap_or((0, u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_avoid_words() {
        assert!(COMMON.as_chunks::<4>().0.is_sorted_by_key(|run| run.map(|byte| byte | 0x20)));
        for literal in ["typesense", "bitfinex", "chargebee", "withings", "codeberg", "secret", "linebot"] {
            let (at, _) = rarest_window(literal.as_bytes(), 5);
            assert!(!is_common(&literal.as_bytes()[at..at + 4]), "{literal}");
        }
        assert!(is_common(b"type") && is_common(b"TYPE") && !is_common(b"typ"));
    }
}
